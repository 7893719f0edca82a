"""What hub.yaml says of single topics: how long they are kept, whether at all, how large their messages are. Pure.

The first pattern that matches a topic decides. Behind the patterns of the file stand built-in ones for what the hub
itself uses, and behind those the hub's own defaults.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fieldline.topics import matches

__all__ = ["BUILT_IN", "TopicPolicies", "TopicPolicy"]

_REMEMBERED_MAX = 1 << 17  # more than a hub has topics by default; a flood of ever new ones must not fill the memory


@dataclass(frozen=True, slots=True)
class TopicPolicy:
    """How topics that match `filter` are treated. None: as the hub's own bound says; `filter` empty: the defaults.

    Bounds are for each topic. `message_bytes_max` None: messages are not looked at.
    """

    filter: str = ""
    age_ms_max: int | None = None
    bytes_max: int | None = None
    frames_max: int | None = None
    durable: bool = True
    last_value: bool = False
    partitions: int = 1
    frame_bytes_max: int | None = None
    message_bytes_max: int | None = None

    @property
    def keeps_its_own(self) -> bool:
        """Whether frames of such topics stay or go by anything but the hub's own retention."""
        return self.last_value or not (self.age_ms_max is self.bytes_max is self.frames_max is None)


BUILT_IN = (
    TopicPolicy("$sys/#", durable=False),
    TopicPolicy("$inbox/#", durable=False),
    TopicPolicy("$dead/#"),
)


class TopicPolicies:
    """Answers which policy a topic has. May be asked from any thread."""

    def __init__(self, policies: Sequence[TopicPolicy] = (), *, remembered_max: int = _REMEMBERED_MAX) -> None:
        self._policies = (*policies, *BUILT_IN)
        self._default = TopicPolicy()
        self._remembered_max = remembered_max
        self._remembered: dict[str, TopicPolicy] = {}

    @property
    def any_keeps_its_own(self) -> bool:
        """Whether there is a topic that could stay or go by anything but the hub's own retention."""
        return any(policy.keeps_its_own for policy in self._policies)

    def of(self, topic: str) -> TopicPolicy:
        """The policy of a topic that has been checked. A dictionary's look-up for every topic seen before."""
        found = self._remembered.get(topic)
        return found if found is not None else self._decide(topic)

    def _decide(self, topic: str) -> TopicPolicy:
        chosen = next((one for one in self._policies if matches(one.filter, topic)), self._default)
        if len(self._remembered) >= self._remembered_max:
            self._remembered = {}
        self._remembered[topic] = chosen
        return chosen
