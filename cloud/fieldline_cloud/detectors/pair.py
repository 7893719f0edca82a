"""Two detectors of one device as one: each where it is the better witness. Pure.

A load jumps, and temperatures follow late: how tags go together then changes with every shift that begins, and nothing
is wrong. So it counts where the duty says nothing: at a load that was never run.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fieldline_cloud.detectors.duty import Duty
from fieldline_cloud.detectors.joint import Joint

__all__ = ["JOINT_COUNTS", "Pair"]

JOINT_COUNTS: Final = 0.5
"""Of the joint detector's score: it was made for hours, and in weeks it is wrong more often."""

Floats = NDArray[np.float64]


class Pair:
    """How each tag is at this duty (`Duty`); where that is not known, how the tags go together (`Joint`)."""

    def __init__(self, channels: Sequence[str], joint: Joint | None = None, duty: Duty | None = None) -> None:
        self.joint = joint or Joint(channels)
        self.duty = duty or Duty(channels)
        self._by_duty = False

    @property
    def learning(self) -> bool:
        """Whether the joint detector, which takes longer, is still in its warm-up."""
        return self.joint.learning

    def update(self, times: ArrayLike, values: ArrayLike) -> Floats:
        """Score rows (n, channels) at times (n,) in ns; NaN while neither knows."""
        joint, duty = JOINT_COUNTS * self.joint.update(times, values), self.duty.update(times, values)
        scores: Floats = np.where(np.isfinite(duty), duty, joint)
        if len(scores):
            self._by_duty = bool(scores[-1] == duty[-1])
        return scores

    def contributions(self) -> Sequence[tuple[str, float]]:
        """Each channel's share of the last score, the largest first, as the more alarmed of the two sees it."""
        return self.duty.contributions() if self._by_duty else self.joint.contributions()

    def expected(self) -> tuple[Floats, Floats]:
        """The band (low, high) of each channel, as the more alarmed of the two sees it; NaN where it has none."""
        return self.duty.expected() if self._by_duty else self.joint.expected()

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, as plain data."""
        return {"joint": self.joint.snapshot(), "duty": self.duty.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken; ValueError where it is none of ours."""
        try:
            joint, duty = snapshot["joint"], snapshot["duty"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"no snapshot of a pair of detectors: {error!r}; begin without it") from error
        self.joint.restore(joint)
        self.duty.restore(duty)
