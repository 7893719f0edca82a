"""When the open lane is closed and another begun. Pure: the time is handed in."""

from fieldline_edge.spool.lanes import DrainOrder, rolls_on_return, wants_roll

__all__ = ["Rolling"]


class Rolling:
    """Knows since when the hub has been away, and how much went into the open lane."""

    def __init__(self, order: DrainOrder, *, bytes_max: int) -> None:
        self.order = order
        self.asked = False
        """Whether the next commit shall close the open lane, whatever else is known."""
        self._bytes_max = bytes_max
        self._away_since_s: float | None = None
        self._lane_bytes = 0

    @property
    def is_away(self) -> bool:
        """Whether the hub is known not to be there."""
        return self._away_since_s is not None

    def put(self, nbytes: int) -> None:
        """So much is on its way into the open lane."""
        self._lane_bytes += nbytes

    def lost(self, now_s: float) -> None:
        """The hub is away."""
        if self._away_since_s is None:
            self._away_since_s = now_s

    def back(self) -> None:
        """The hub is there."""
        self._away_since_s = None

    def on_return(self, now_s: float, *, unsent: bool) -> bool:
        """Whether a hub that is back now gets fresh frames first."""
        return rolls_on_return(order=self.order, away_s=self._away_s(now_s), unsent=unsent)

    def is_due(self, now_s: float, *, unsent: bool) -> bool:
        """Whether the next commit shall close the open lane."""
        return self.asked or wants_roll(
            order=self.order,
            away_s=self._away_s(now_s),
            unsent=unsent,
            lane_bytes=self._lane_bytes,
            bytes_max=self._bytes_max,
        )

    def rolled(self, held_bytes: int) -> None:
        """It was closed; `held_bytes` wait for the new one."""
        self.asked = False
        self._lane_bytes = held_bytes

    def _away_s(self, now_s: float) -> float:
        return 0.0 if self._away_since_s is None else now_s - self._away_since_s
