"""Whether a file has changed, judged by looks at it. Pure: the looks are handed in."""

__all__ = ["FileWatch", "Stamp"]

Stamp = tuple[int, int, int]
"""Time of change in nanoseconds, bytes, inode: what every way of replacing a file changes one of."""


class FileWatch:
    """Says once that a file has changed, as soon as two looks in a row agree on it.

    An editor that writes in pieces, or moves the old file away before the new one is there, must not be read in the
    middle of it. A file that is missing has not changed.
    """

    def __init__(self, stamp: Stamp | None) -> None:
        self._known = stamp
        self._last = stamp

    def look(self, stamp: Stamp | None) -> bool:
        """Whether the file is another than the one last told of, and at rest."""
        at_rest = stamp is not None and stamp == self._last
        self._last = stamp
        if not at_rest or stamp == self._known:
            return False
        self._known = stamp
        return True
