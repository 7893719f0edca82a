"""Retention at work: what retention.py plans is done to the files.

Everything that takes long happens outside the writer's lock, so commits and readers go on meanwhile.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from fieldline_cloud.hub.engines.base import Retained, RetentionRules
from fieldline_cloud.hub.engines.segments.files import ChunkReader
from fieldline_cloud.hub.engines.segments.reader import LogReader, walk
from fieldline_cloud.hub.engines.segments.retention import Books, Plan, Span, Topic, draw_up
from fieldline_cloud.hub.engines.segments.rewriting import rewrite
from fieldline_cloud.hub.engines.segments.shelf import Segment, Shelf
from fieldline_cloud.hub.engines.segments.state import LogMarks
from fieldline_cloud.hub.engines.segments.tally import Detail, OpenTally, Tally

__all__ = ["Keeper"]

# What one call rewrites at most (but one segment at least), so that a change of rules does not keep the disk busy for
# minutes on end; the next call goes on.
_REWRITE_BYTES_MAX = 64 << 20
_DETAILS_MAX = 8  # segments whose single frames are remembered: 12 bytes for each frame


class Keeper:
    """Keeps a log inside its bounds. `retain` is for one thread at a time.

    `locked` is the writer's lock. With it held, `mark` writes floors of topics into the log, and `roll` begins a new
    segment.
    """

    def __init__(
        self,
        shelf: Shelf,
        marks: LogMarks,
        reader: LogReader,
        *,
        segment_bytes: int,
        locked: contextlib.AbstractContextManager[object],
        mark: Callable[[Mapping[int, int]], None],
        roll: Callable[[], None],
    ) -> None:
        self._shelf = shelf
        self._marks = marks
        self._reader = reader
        self._segment_bytes = segment_bytes
        self._locked = locked
        self._mark = mark
        self._roll = roll
        self._details: OrderedDict[Segment, Detail] = OrderedDict()
        self._rules: RetentionRules | None = None
        self._judged = 0  # topics numbered below this were asked for their rules
        self._own_numbers: list[int] = []
        self._checked: dict[int, int] = {}

    def retain(self, rules: RetentionRules, now_ms: int, hold_offset: int | None) -> Retained:
        """One look at the bounds. Raises OSError or StorageError; what was possible before that has been done."""
        own = self._own(rules)
        segments, books = self._books(own)
        plan = draw_up(
            books, bytes_max=rules.bytes_max, age_ms_max=rules.age_ms_max, now_ms=now_ms, hold_offset=hold_offset
        )
        self._hide(plan, own)
        frames = self._remove(plan, segments, books)
        self._write_floors()  # after removing: on a full disk there is room only now
        frames += self._rewrite(plan, segments, books)
        with self._locked:
            self._marks.floors.forget(self._shelf.segments[0].first_offset)
        return Retained(frames=frames, held_bytes=plan.held_bytes)

    def _own(self, rules: RetentionRules) -> dict[int, Topic]:
        """The topics with rules of their own; each topic is asked about once for the same rules."""
        if rules is not self._rules:
            self._rules, self._judged, self._own_numbers, self._checked = rules, 0, [], {}
        names, end = self._marks.topic_names, self._marks.next_topic
        for number in range(self._judged, end):
            if number in names and rules.policies.of(names[number]).keeps_its_own:
                self._own_numbers.append(number)
        self._judged = end
        ends = self._marks.end_offsets
        return {
            number: Topic(rules.policies.of(names[number]), ends[number])
            for number in self._own_numbers
            if number in ends
        }

    def _books(self, own: Mapping[int, Topic]) -> tuple[list[Segment], Books]:
        floors = self._marks.floors
        tallied = bool(own or floors.purged)
        with self._locked:
            segments, end_offset = list(self._shelf.segments), self._marks.next_offset
            newest = segments[-1].tally
            assert isinstance(newest, OpenTally)
            tallies: list[Tally | None] = [newest.closed() if tallied else None]
            sizes = [segment.size for segment in segments]
        if tallied:
            tallies = [*(self._tally(segment) for segment in segments[:-1]), *tallies]
        else:
            tallies = [None] * len(segments)
        ends = [*(following.first_offset for following in segments[1:]), end_offset]
        spans = [
            Span(segment.first_offset, end, size, tally, segment.looked_dead_bytes)
            for segment, end, size, tally in zip(segments, ends, sizes, tallies, strict=True)
        ]
        return segments, Books(
            spans=spans,
            own=own,
            purged=dict(floors.purged),
            general=floors.general,
            offset_since=self._reader.offset_since,
            detail=lambda place: self._detail(segments[place]),
            segment_bytes=self._segment_bytes,
            checked=self._checked,
        )

    def _tally(self, segment: Segment) -> Tally:
        """From memory, from the file beside the segment, or from the segment itself."""
        if isinstance(segment.tally, OpenTally):
            segment.save_index()
        elif not segment.read_index():
            fresh, tally = Segment(segment.path.parent, 0).index, OpenTally()
            with segment.opened() as fd:
                for chunk in walk(self._shelf, segment, ChunkReader(fd, segment.size), 0):
                    tally.add(chunk.header.first_offset, chunk.meta().topics, chunk.body())
                    fresh.note(chunk.header, chunk.position)
            segment.index, segment.tally = fresh, tally
            segment.save_index()
        assert isinstance(segment.tally, Tally)
        return segment.tally

    def _detail(self, segment: Segment) -> Detail:
        detail = self._details.pop(segment, None) or Detail()
        self._details[segment] = detail
        while len(self._details) > _DETAILS_MAX:
            self._details.popitem(last=False)
        if detail.position < segment.size:
            with segment.opened() as fd:
                for chunk in walk(self._shelf, segment, ChunkReader(fd, segment.size), detail.position):
                    detail.add(chunk.header.first_offset, chunk.meta().topics, chunk.body())
                    detail.position = chunk.position + chunk.header.size
        return detail

    def _hide(self, plan: Plan, own: Mapping[int, Topic]) -> None:
        floors = self._marks.floors
        with self._locked:
            for number, floor in plan.floors.items():
                floors.purge(number, floor)
            floors.unwritten.update(plan.floors)
            floors.rise(plan.general, own)

    def _remove(self, plan: Plan, segments: Sequence[Segment], books: Books) -> int:
        """Remove what nothing is left of; returns how many frames went."""
        gone = [segments[place] for place in plan.gone]
        if not gone:
            return 0
        if plan.roll:
            with self._locked:
                if self._marks.next_offset != books.spans[-1].next_offset:
                    gone = gone[:-1]  # more has come since; the next look will find it
                else:
                    self._roll()
        self._shelf.remove(gone)
        return sum(_frames(books.spans[place]) for place in plan.gone[: len(gone)])

    def _write_floors(self) -> None:
        floors = self._marks.floors
        with self._locked:
            if floors.unwritten:
                self._mark({number: floors.purged[number] for number in floors.unwritten})

    def _rewrite(self, plan: Plan, segments: Sequence[Segment], books: Books) -> int:
        """Rewrite what is worth it, up to a bound; returns how many frames went."""
        frames, bytes_left = 0, _REWRITE_BYTES_MAX
        runs = plan.rewrite + [range(place, place + 1) for place, _ in plan.look]
        looks = dict(plan.look)
        for run in runs:
            if bytes_left <= 0:
                break
            if run.start in looks and not self._is_thin(segments[run.start], looks[run.start]):
                continue
            bytes_left -= sum(segments[place].size for place in run)
            frames += self._rewrite_run([segments[place] for place in run], books.spans[run.stop - 1].next_offset)
        return frames

    def _is_thin(self, segment: Segment, dead_bytes_max: int) -> bool:
        """Whether more than half of a segment is dead, frame by frame."""
        segment.looked_dead_bytes = dead_bytes_max
        detail, floors, dead = self._detail(segment), self._marks.floors, 0
        for number in detail.topics():
            floor = floors.of(number)
            dead += sum(size for offset, size in zip(*detail.of(number), strict=True) if offset < floor)
        return dead * 2 > segment.size

    def _rewrite_run(self, old: Sequence[Segment], end_offset: int) -> int:
        before = sum(self._tally(segment).frames_total for segment in old)
        made = rewrite(self._shelf, old, end_offset, self._marks.floors.shows)
        if made is None:
            return 0
        new, written = made
        self._shelf.replace(old, new, written)
        new.save_index()
        assert isinstance(new.tally, Tally)
        return before - new.tally.frames_total


def _frames(span: Span) -> int:
    return span.tally.frames_total if span.tally else span.next_offset - span.first_offset
