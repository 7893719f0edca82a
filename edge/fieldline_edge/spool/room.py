"""Makes room in the spool's tables: what is too old, and what is over the bound."""

import logging
from dataclasses import replace

from fieldline_edge.spool.bounds import Bounds, WhenFull, older_than_ns, thin_range
from fieldline_edge.spool.lanes import URGENT_BASE
from fieldline_edge.spool.policy import State, Writing
from fieldline_edge.spool.tables import Tables

__all__ = ["Room"]

log = logging.getLogger(__name__)

_ROWS_MAX = 4096
_THINNED_AT_ONCE_BYTES = 256 << 10
_ENDLESS = (1 << 63) - 1


class Room:
    """Keeps the bounds by age and bytes. `dropped_up_to` is the youngest id that went since it was last set to 0."""

    def __init__(self, tables: Tables, bounds: Bounds) -> None:
        self._tables = tables
        self.bounds = bounds
        self._seen: dict[str, int] = {}
        self.dropped_up_to = 0

    def drop_old(self, state: State, writing: Writing) -> State:
        """Drop readings that are older than the bound by age. Alarms are kept, and so is what may be on its way."""
        if writing.now_ns is None:
            return state
        too_old = older_than_ns(now_ns=writing.now_ns, age_s_max=self.bounds.age_s_max)
        if too_old is None:
            return state
        ids = []
        for last, _, at_ns in self._tables.rows(0, URGENT_BASE, besides=writing.in_flight, limit=_ROWS_MAX):
            if at_ns >= too_old[1]:
                break
            if at_ns >= too_old[0]:
                ids.append(last)
        return self._drop(state, ids)

    def give_way(self, state: State, writing: Writing, over_bytes: int, spare_bytes: int) -> State | None:
        """Free `over_bytes` and a little more, as the policy says; None if nothing may go."""
        if self.bounds.when_full is WhenFull.THIN_OUT:
            thinned = self._thin(state, writing)
            if thinned.frames_dropped > state.frames_dropped:
                return thinned
        ids = self._oldest(writing, over_bytes + spare_bytes)
        return self._drop(state, ids) if ids else None

    def _oldest(self, writing: Writing, bytes_needed: int) -> list[int]:
        """The rows to drop: never the newest of the readings; what may be on its way goes late, alarms last."""
        newest = self._tables.newest()
        for urgent, besides in ((False, writing.in_flight), (False, ()), (True, ())):
            up_to = _ENDLESS if urgent else newest - 1
            rows = self._tables.rows(0, up_to, besides=besides, urgent=urgent, limit=_ROWS_MAX)
            if rows:
                return drop_first([(last, size) for last, size, _ in rows], bytes_needed)
        return []

    def _thin(self, state: State, writing: Writing) -> State:
        """Thin out the next rows of the older half."""
        oldest, newest = self._tables.oldest(), self._tables.newest()
        after, up_to = thin_range(thinned_up_to=state.thinned_up_to, oldest=oldest, newest=newest)
        if after < state.thinned_up_to:
            self._seen.clear()  # a new pass
        size = 0
        last = up_to
        for last, row_bytes, _ in self._tables.rows(after, up_to, besides=writing.in_flight, limit=_ROWS_MAX):
            dropped = state.frames_dropped
            state = self._tables.thin(state, last, self._seen, self.bounds.keep_every)
            if state.frames_dropped > dropped:
                self.dropped_up_to = max(self.dropped_up_to, last)
            size += row_bytes
            if size >= _THINNED_AT_ONCE_BYTES:
                break
        else:
            last = up_to
        return replace(state, thinned_up_to=last)

    def _drop(self, state: State, ids: list[int]) -> State:
        if ids:
            self.dropped_up_to = max(self.dropped_up_to, *(one for one in ids if one < URGENT_BASE), 0)
        return self._tables.drop(state, ids)


def drop_first(rows: list[tuple[int, int]], bytes_needed: int) -> list[int]:
    """The ids of the first rows (id, bytes) that free so many bytes; all of them if they are too few."""
    ids: list[int] = []
    for last, size in rows:
        if bytes_needed <= 0:
            break
        ids.append(last)
        bytes_needed -= size
    return ids
