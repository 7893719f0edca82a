"""The newest committed frames, so that a hub that keeps up is fed without reading the disk. Pure, bounded."""

from collections import deque
from collections.abc import Sequence

from fieldline_edge.spool.policy import Stored

__all__ = ["Recent"]


class Recent:
    """Frames of one run of ids, the newest at the end. What is asked for before its beginning it does not know."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._frames: deque[Stored] = deque()
        self._bytes = 0
        self._floor: int | None = None  # everything after this id, up to the newest, is here

    def add(self, frames: Sequence[Stored]) -> None:
        """Frames just committed, in order; what does not follow on what is here takes its place."""
        if not frames:
            return
        if self._floor is None or frames[0].before != (self._frames[-1].sequence if self._frames else self._floor):
            self.clear()
            self._floor = frames[0].before
        for stored in frames:
            self._frames.append(stored)
            self._bytes += len(stored.frame)
        while self._bytes > self._bytes_max and self._frames:
            self._pop()

    def after(self, id_: int, *, frames_max: int, bytes_max: int) -> list[Stored] | None:
        """As reading the disk would answer; None if the disk has to be read. Forgets what is asked for no more."""
        if self._floor is None or id_ < self._floor:
            return None
        self.forget(id_)
        if not self._frames:
            return []  # all that was committed has been asked for
        found: list[Stored] = []
        size = 0
        for stored in self._frames:
            size += len(stored.frame)
            if found and (size > bytes_max or len(found) >= frames_max):
                break
            found.append(stored)
        first = found[0]
        found[0] = Stored(first.sequence, id_, first.frame, first.readings_missing)
        return found

    def forget(self, id_: int) -> None:
        """The hub has everything up to an id."""
        while self._frames and self._frames[0].sequence <= id_:
            self._pop()

    def clear_up_to(self, id_: int) -> None:
        """Something up to an id is no longer on the disk: what is here of it, and what tells of it, is not either."""
        if self._floor is not None and id_ > self._floor:
            self.clear()

    def clear(self) -> None:
        """Know nothing any more."""
        self._frames.clear()
        self._bytes = 0
        self._floor = None

    def _pop(self) -> None:
        gone = self._frames.popleft()
        self._bytes -= len(gone.frame)
        self._floor = gone.sequence
