"""The segments of one log, as files: which there are, and how they are changed while readers read.

    00000000000000000000.log                         as it was written; the name is the offset of its first frame
    00000000000000000000-00000000000000123456.log    rewritten: what is left of the offsets from the one to the other

A rewritten segment stands for every other file in its range, so wherever a rewrite is stopped, the log is whole.
"""

import contextlib
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from fieldline_cloud.hub.engines.segments.files import sync_folder
from fieldline_cloud.hub.engines.segments.index import Index, read_index, write_index
from fieldline_cloud.hub.engines.segments.tally import OpenTally, Tally

__all__ = ["Replaced", "Segment", "Shelf"]

log = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{20})(?:-(\d{20}))?\.log\Z")


class Replaced(Exception):
    """The segment was rewritten or removed since the list was read; `Shelf.after` gives the list as it is now."""

    def __init__(self, segment: "Segment") -> None:
        super().__init__(str(segment.path))
        self.segment = segment


class Segment:
    """One file. `size` is what is committed; what lies behind it in the file does not count.

    `end_offset` is that of a rewritten one; None: it was never rewritten. `tally` None: not known yet.
    """

    def __init__(self, folder: Path, first_offset: int, size: int = 0, *, end_offset: int | None = None) -> None:
        end = "" if end_offset is None else f"-{end_offset:020}"
        self.path = folder / f"{first_offset:020}{end}.log"
        self.first_offset = first_offset
        self.end_offset = end_offset
        self.size = size
        self.index = Index()
        self.tally: OpenTally | Tally | None = None
        self.looked_dead_bytes = 0
        """What could be dead of it when it was last looked at in detail."""
        self._index_read = False

    @property
    def index_path(self) -> Path:
        """The file beside it that remembers index and tally."""
        return self.path.with_suffix(".idx")

    def read_index(self) -> bool:
        """Take index and tally from the file beside it, once; returns whether they are known now."""
        if not self._index_read and self.tally is None:
            self._index_read = True
            with contextlib.suppress(OSError):
                found = read_index(self.index_path.read_bytes(), self.size)
                if found:
                    self.index, self.tally = found
        return self.tally is not None

    def save_index(self) -> None:
        """Write the file beside it. A failure costs time at the next start, and nothing else."""
        tally = self.tally.closed() if isinstance(self.tally, OpenTally) else self.tally
        assert tally is not None
        self.tally = tally
        aside = self.path.with_suffix(".idx.new")
        try:
            aside.write_bytes(write_index(self.index, tally, self.size))
            aside.replace(self.index_path)
        except OSError as error:
            log.debug("index %s was not written: %s", self.index_path, error)

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Its file for reading. Raises Replaced if it is not there any more, or holds less than it should."""
        size = self.size  # before the file's own, which may grow meanwhile
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise Replaced(self) from error
        try:
            if os.fstat(fd).st_size < size:
                raise Replaced(self)
            yield fd
        finally:
            os.close(fd)


class Shelf:
    """The list of segments, the oldest first. Changed as a whole, so whoever reads it sees one moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments: Sequence[Segment] = _listed(folder)
        self.damaged_bytes = 0
        self._damage: set[tuple[Path, int]] = set()  # what was reported, and where in it
        self._swap = threading.Lock()

    @property
    def newest(self) -> Segment:
        """The one that is written."""
        return self.segments[-1]

    def after(self, replaced: Replaced) -> Sequence[Segment]:
        """The segments once a change of them is through. One that nobody has changed has been lost, and is reported."""
        segment = replaced.segment
        with self._swap:
            if segment in self.segments:
                size = segment.path.stat().st_size if segment.path.exists() else 0
                self.report_damage(segment, size, segment.size)
                segment.size = size
                if not size and segment is not self.newest:
                    self.segments = [one for one in self.segments if one is not segment]
            return self.segments

    def create(self, first_offset: int) -> Segment:
        """A new, empty segment's file; it joins the list with `append`."""
        segment = Segment(self.folder, first_offset)
        segment.tally = OpenTally()
        os.close(os.open(segment.path, os.O_RDWR | os.O_CREAT, 0o644))
        sync_folder(self.folder)
        return segment

    def append(self, segment: Segment) -> None:
        """It is the newest from now on."""
        with self._swap:
            self.segments = [*self.segments, segment]

    def remove(self, segments: Sequence[Segment]) -> None:
        """Forget segments and their files. One whose file cannot be removed stays in the list, for the next try."""
        with self._swap:
            for segment in segments:
                _unlink(segment)
                self.segments = [one for one in self.segments if one is not segment]
        sync_folder(self.folder)

    def replace(self, old: Sequence[Segment], new: Segment, written: Path) -> None:
        """Put the fsynced file `written` in the place of neighbouring segments."""
        new.index_path.unlink(missing_ok=True)
        with self._swap:
            try:
                written.rename(new.path)
            except OSError:
                written.unlink(missing_ok=True)
                raise
            place = self.segments.index(old[0])
            self.segments = [*self.segments[:place], new, *self.segments[place + len(old) :]]
        sync_folder(self.folder)
        for segment in old:
            if segment.path != new.path:
                _unlink(segment)
        sync_folder(self.folder)

    def open_all(self) -> list[tuple[Segment, int]]:
        """Every segment with a descriptor of its file, for the caller to close. All of them or, with OSError, none."""
        opened: list[tuple[Segment, int]] = []
        with self._swap:
            try:
                for segment in self.segments:
                    opened.append((segment, os.open(segment.path, os.O_RDONLY)))  # noqa: PERF401  # closed if one fails
            except OSError:
                for _, fd in opened:
                    os.close(fd)
                raise
        return opened

    def report_damage(self, segment: Segment, begin: int, end: int) -> None:
        """Count and log, once, that bytes of a segment cannot be read."""
        if (segment.path, begin) in self._damage:
            return
        self._damage.add((segment.path, begin))
        self.damaged_bytes += end - begin
        log.error("log %s: bytes %d to %d are damaged; the frames there are lost", segment.path, begin, end)

    def is_damaged(self, segment: Segment) -> bool:
        """Whether damage has been found in a segment."""
        return any(path == segment.path for path, _ in self._damage)


def _unlink(segment: Segment) -> None:
    segment.index_path.unlink(missing_ok=True)
    segment.path.unlink(missing_ok=True)


def _listed(folder: Path) -> list[Segment]:
    """The segments in a folder. What an interrupted rewrite has left is removed."""
    found = []
    for path in folder.iterdir():
        if path.name.endswith(".new"):
            path.unlink()
            continue
        match = _NAME.match(path.name)
        if match:
            end = int(match.group(2)) if match.group(2) else None
            found.append(Segment(folder, int(match.group(1)), path.stat().st_size, end_offset=end))
    found.sort(key=lambda one: (one.first_offset, -(one.end_offset or 0)))
    kept: list[Segment] = []
    for segment in found:
        if kept and segment.first_offset < (kept[-1].end_offset or 0):
            _unlink(segment)
        else:
            kept.append(segment)
    return kept
