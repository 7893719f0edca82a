"""How far the hub is with each lane, ahead of what the file knows of it. Pure."""

from collections.abc import Iterable, Sequence

from fieldline_edge.spool.lanes import Lane, closed_lanes, open_lane, urgent_lanes
from fieldline_edge.spool.policy import State

__all__ = ["Progress"]


class Progress:
    """Acks, and what may be on its way, by lane. Only ids of that lane are handed in."""

    def __init__(self) -> None:
        self._acked: dict[int, int] = {}
        self._sent: dict[int, int] = {}

    def acked(self, lane: Lane) -> int:
        """Up to which id the hub has a lane."""
        return max(lane.acked, self._acked.get(lane.number, 0))

    def acknowledge(self, lane: Lane, id_: int) -> bool:
        """The hub has a lane up to an id; False if that is no news."""
        if id_ <= self.acked(lane):
            return False
        self._acked[lane.number] = id_ if lane.last is None else min(id_, lane.last)
        return True

    def sent(self, lane: Lane, id_: int) -> None:
        """Frames up to an id may be on their way."""
        self._sent[lane.number] = max(self._sent.get(lane.number, 0), id_)

    def resumed(self, lane: Lane, id_: int) -> None:
        """A new connection starts behind an id: nothing is on its way."""
        self._sent[lane.number] = id_

    def is_done(self, lane: Lane) -> bool:
        """Whether a closed lane has nothing left that the hub lacks."""
        return lane.last is not None and self.acked(lane) >= lane.last

    def waiting(self, lanes: Iterable[Lane]) -> Sequence[Lane]:
        """Closed lanes of readings that the hub does not have, oldest first."""
        return [lane for lane in closed_lanes(lanes) if not self.is_done(lane)]

    def has_unsent(self, state: State) -> bool:
        """Whether the open lane has frames that the hub lacks."""
        return state.last_frame > self.acked(open_lane(state.lanes))

    def urgent(self, state: State) -> Lane | None:
        """The lane of the alarms the hub lacks; None if it has all."""
        for lane in urgent_lanes(state.lanes):
            if not self.is_done(lane) and state.last_urgent > self.acked(lane):
                return lane
        return None

    def is_drained(self, state: State) -> bool:
        """Whether the hub has every frame."""
        return not self.waiting(state.lanes) and not self.has_unsent(state) and self.urgent(state) is None

    def news(self, state: State) -> dict[int, int]:
        """Acks that the file does not know, by number of the lane; never beyond what it holds."""
        found: dict[int, int] = {}
        for lane in state.lanes:
            following = state.urgent_next if lane.is_urgent else state.next_sequence
            acked = min(self.acked(lane), following - 1 if lane.last is None else lane.last)
            if acked > lane.acked:
                found[lane.number] = acked
        return found

    def in_flight(self, lanes: Iterable[Lane]) -> list[tuple[int, int]]:
        """Ids (after, up to) that may be on their way."""
        found = [(self.acked(lane), self._sent.get(lane.number, 0)) for lane in lanes]
        return [(after, up_to) for after, up_to in found if up_to > after]

    def forget(self, lane: Lane) -> None:
        """The lane has another identity: the hub has none of it."""
        self._acked.pop(lane.number, None)
        self._sent.pop(lane.number, None)

    def keep(self, lanes: Iterable[Lane]) -> None:
        """Forget all lanes but these."""
        known = {lane.number for lane in lanes}
        for numbers in (self._acked, self._sent):
            for gone in numbers.keys() - known:
                del numbers[gone]
