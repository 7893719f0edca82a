"""A record as one subscriber is given it: with what this delivery adds to it. Pure."""

from typing import NamedTuple

from fieldline_cloud.hub.core.record import Record

__all__ = ["Outgoing"]


class Outgoing(NamedTuple):
    """A record to send. `deliveries` counts this one; `only` names the messages it is about (empty: all of them)."""

    record: Record
    missed_frames: int = 0
    deliveries: int = 1
    only: tuple[int, ...] = ()
    last_value: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the record's own bytes say everything."""
        return self.deliveries <= 1 and not (self.missed_frames or self.only or self.last_value)
