"""Retention as a plan: what is to be hidden, what is to be removed, what is to be rewritten. Pure.

Two kinds of topic:

- those without a rule of their own share one **general floor**: by age exactly, by bytes in steps of whole segments;
- those with one (`own`) each have their own floor: what lies below is hidden at once.

Over the hub's bytes, topics of the first kind and those that are to be kept no longer than the hub's own age go first,
the oldest before the newer; those to be kept longer (`lasting`) go after all of them. Topics with a bound in bytes of
their own neither go by the hub's bytes nor count towards them. The last frame of a topic with `last_value` stays.
Nothing at or above `hold_offset` is hidden.

A segment with nothing left is removed. One of which more than half is dead is rewritten, and so are many small
neighbours, so that what is kept for years does not become thousands of files.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fieldline_cloud.hub.core.policies import TopicPolicy
from fieldline_cloud.hub.engines.segments.tally import Detail, Tally

__all__ = ["Books", "Plan", "Span", "Topic", "draw_up"]

_SMALL = 8  # a segment of an eighth of the full size is small; eight small neighbours are put together


@dataclass(frozen=True, slots=True)
class Span:
    """A segment as retention sees it: the offsets it stands for, its bytes, what it holds of which topic.

    `tally` None: nobody needs to know, because no topic has a rule or a floor of its own.
    """

    first_offset: int
    next_offset: int
    size: int
    tally: Tally | None = None
    looked_dead_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with rules of its own; `end_offset` is behind its newest frame."""

    policy: TopicPolicy
    end_offset: int


@dataclass(frozen=True, slots=True)
class Books:
    """What is known of the log. The last span is the one being written; a log has at least that.

    `offset_since` gives the first offset stored at or after a Unix time in ms; `detail` the single frames of a span, by
    its place; `purged` the present floors of single topics. `checked` is for this room alone: up to which end offset a
    topic's own bounds were last found to be kept.
    """

    spans: Sequence[Span]
    own: Mapping[int, Topic]
    purged: Mapping[int, int]
    general: int
    offset_since: Callable[[int], int]
    detail: Callable[[int], Detail]
    segment_bytes: int
    checked: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """What is to be done, in this order. Places are those of spans.

    `general` and `floors` hide frames; `roll`: all of the newest span is dead, so begin another; `gone`: remove these;
    `rewrite`: make one file of each of these runs of neighbours; `look`: (place, bytes that may be dead): rewrite these
    if, looked at frame by frame, more than half is dead. `held_bytes` is about what would have gone, were it not for
    `hold_offset`.
    """

    general: int
    floors: dict[int, int] = field(default_factory=dict)
    roll: bool = False
    gone: list[int] = field(default_factory=list)
    rewrite: list[range] = field(default_factory=list)
    look: list[tuple[int, int]] = field(default_factory=list)
    held_bytes: int = 0


def draw_up(books: Books, *, bytes_max: int, age_ms_max: int, now_ms: int, hold_offset: int | None = None) -> Plan:
    """The plan that brings a log inside its bounds. Times are Unix time in ms; bounds as in hub.yaml."""
    draft = _Draft(books, bytes_max, age_ms_max, now_ms, hold_offset)
    draft.raise_floors()
    draft.sort_segments()
    return draft.plan


class _Draft:
    """A plan in the making."""

    def __init__(self, books: Books, bytes_max: int, age_ms_max: int, now_ms: int, hold_offset: int | None) -> None:
        self.plan = Plan(books.general)
        self._books = books
        self._spans = books.spans
        self._end_offset = books.spans[-1].next_offset
        self._bytes_max = bytes_max
        self._age_ms_max = age_ms_max
        self._now_ms = now_ms
        self._hold = self._end_offset if hold_offset is None else min(hold_offset, self._end_offset)
        self._since: dict[int, int] = {}
        self._top = 0  # no floor is above it

    def raise_floors(self) -> None:
        """Hide what is over a bound."""
        by_bytes, lasting_by_bytes = self._floors_by_bytes()
        general = max(self._by_age(self._age_ms_max), by_bytes)
        self._note_held_general(general)
        self.plan.general = max(self._books.general, min(general, self._hold))
        oldest = self._spans[0].first_offset
        for number, topic in self._books.own.items():
            known = max(oldest, self._books.purged.get(number, 0))
            if topic.end_offset > known:
                hub_bytes = lasting_by_bytes if self._is_lasting(topic.policy) else by_bytes
                floor = self._own_floor(number, topic, known, hub_bytes)
                if floor > known:
                    self.plan.floors[number] = floor

    def _own_floor(self, number: int, topic: Topic, known: int, hub_bytes: int) -> int:
        policy = topic.policy
        age_ms_max = self._age_ms_max if policy.age_ms_max is None else policy.age_ms_max
        wish = self._by_age(age_ms_max)
        if policy.bytes_max is None:
            wish = max(wish, hub_bytes)
        if (policy.bytes_max or policy.frames_max) and self._books.checked.get(number) != topic.end_offset:
            bounded = self._by_own_bounds(number, topic, max(known, wish))
            if bounded <= self._hold:
                self._books.checked[number] = topic.end_offset
            wish = max(wish, bounded)
        if policy.last_value:
            wish = min(wish, topic.end_offset - 1)
        if wish > self._hold:
            self._note_held(number, wish)
        return self._behind_last_below(number, topic, min(wish, self._hold), known)

    def _by_age(self, age_ms_max: int) -> int:
        if age_ms_max not in self._since:
            self._since[age_ms_max] = self._books.offset_since(self._now_ms - age_ms_max)
        return self._since[age_ms_max]

    def _is_lasting(self, policy: TopicPolicy) -> bool:
        return policy.bytes_max is None and (policy.age_ms_max or 0) > self._age_ms_max

    def _floors_by_bytes(self) -> tuple[int, int]:
        """The floors that the hub's bytes ask for: of all topics but the lasting ones, and of those."""
        if sum(span.size for span in self._spans) <= self._bytes_max:
            return 0, 0
        shares = [self._shares(span) for span in self._spans]
        total = sum(common + lasting for common, lasting in shares)
        floor = lasting_floor = 0
        for span, (common, _) in zip(self._spans, shares, strict=True):
            if total <= self._bytes_max:
                break
            total -= common
            floor = span.next_offset
        for span, (_, lasting) in zip(self._spans, shares, strict=True):
            if total <= self._bytes_max:
                break
            total -= lasting
            lasting_floor = span.next_offset
        return floor, lasting_floor

    def _shares(self, span: Span) -> tuple[int, int]:
        """(bytes that go by the hub's bound, bytes that go by it last); without topics that have a bound of theirs."""
        if span.first_offset == span.next_offset:
            return 0, 0
        lasting = apart = 0
        for row in span.tally or ():
            topic = self._books.own.get(row.topic)
            if topic is None:
                continue
            if row.last_offset < self._books.purged.get(row.topic, 0) or topic.policy.bytes_max is not None:
                apart += row.bytes
            elif self._is_lasting(topic.policy):
                lasting += row.bytes
        return max(0, span.size - lasting - apart), lasting

    def _by_own_bounds(self, number: int, topic: Topic, floor: int) -> int:
        """The offset of the oldest frame that fits the topic's own frames and bytes, of those from `floor` on."""
        frames_left = topic.policy.frames_max or 1 << 62
        bytes_left = topic.policy.bytes_max or 1 << 62
        for place in range(len(self._spans) - 1, -1, -1):
            span = self._spans[place]
            row = span.tally.of(number) if span.tally else None
            if span.next_offset <= floor:
                break
            if row is None:
                continue
            if row.frames <= frames_left and row.bytes <= bytes_left:
                frames_left, bytes_left = frames_left - row.frames, bytes_left - row.bytes
                continue
            if not frames_left or not bytes_left:
                return max(floor, row.last_offset + 1)
            offsets, sizes = self._books.detail(place).of(number)
            for offset, size in zip(reversed(offsets), reversed(sizes), strict=True):
                if offset < floor:
                    return floor
                frames_left, bytes_left = frames_left - 1, bytes_left - size
                if frames_left < 0 or bytes_left < 0:
                    return offset + 1
        return floor

    def _behind_last_below(self, number: int, topic: Topic, below: int, known: int) -> int:
        """The offset behind the topic's last frame below `below`; `known` if there is none from there on.

        So a floor moves only when it hides something, and only then is anything written.
        """
        if topic.end_offset <= below:
            return topic.end_offset
        place = bisect_left(self._spans, below, key=lambda span: span.first_offset) - 1
        while place >= 0 and self._spans[place].next_offset > known:
            tally = self._spans[place].tally
            row = tally.of(number) if tally else None
            if row is not None and row.last_offset < below:
                return max(known, row.last_offset + 1)
            if row is not None:
                offsets, _ = self._books.detail(place).of(number)
                index = bisect_left(offsets, below)
                if index:
                    return max(known, offsets[index - 1] + 1)
            place -= 1
        return known

    def _note_held_general(self, wish: int) -> None:
        for span in self._spans:
            if self._hold < span.next_offset <= wish:
                own = sum(row.bytes for row in span.tally or () if row.topic in self._books.own)
                self.plan.held_bytes += span.size - own

    def _note_held(self, number: int, wish: int) -> None:
        for span in self._spans:
            if span.next_offset > self._hold and span.first_offset < wish and span.tally is not None:
                row = span.tally.of(number)
                if row is not None and self._hold <= row.last_offset < wish:
                    self.plan.held_bytes += row.bytes

    def sort_segments(self) -> None:
        """Say what becomes of each segment under the floors as they will be."""
        self._top = max((self.plan.general, *self.plan.floors.values(), *self._books.purged.values()))
        thin: list[int] = []
        small: list[int] = []
        closed = len(self._spans) - 1
        for place, span in enumerate(self._spans):
            alive_min, alive_max = self._alive(span)
            if alive_max == 0 and span.first_offset < span.next_offset:
                self.plan.gone.append(place)
                self.plan.roll = self.plan.roll or place == closed
            elif place < closed and span.tally is not None:
                dead_min, dead_max = (span.tally.bytes_total - alive for alive in (alive_max, alive_min))
                if dead_min * 2 > span.size:
                    thin.append(place)
                elif dead_max * 2 > span.size and dead_max - span.looked_dead_bytes > span.size // _SMALL:
                    self.plan.look.append((place, dead_max))
                elif span.size <= self._books.segment_bytes // _SMALL:
                    small.append(place)
        self.plan.rewrite = self._runs(thin, at_least=1) + self._runs(small, at_least=_SMALL)

    def _alive(self, span: Span) -> tuple[int, int]:
        """(least, most) bytes of a span that are alive. Without a tally only whether all of it is dead."""
        if span.tally is None:
            alive = 0 if span.next_offset <= self.plan.general else span.size
            return alive, alive
        if span.first_offset >= self._top:
            return span.tally.bytes_total, span.tally.bytes_total
        least = most = 0
        for row in span.tally:
            floor = self._floor(row.topic, span)
            if row.last_offset >= floor:
                most += row.bytes
                least += row.bytes if span.first_offset >= floor else row.bytes // row.frames
        return least, most

    def _floor(self, topic: int, span: Span) -> int:
        purged = self.plan.floors.get(topic) or self._books.purged.get(topic, 0)
        if topic in self._books.own or span.next_offset > self.plan.general:
            return purged  # a span that the general floor goes through is not worth rewriting before it is past
        return max(purged, self.plan.general)

    def _runs(self, places: Sequence[int], *, at_least: int) -> list[range]:
        """Neighbours among these places, as many as make a full segment together."""
        runs: list[range] = []
        size = 0
        for place in places:
            span_size = self._spans[place].size
            if runs and runs[-1].stop == place and size + span_size <= self._books.segment_bytes:
                runs[-1] = range(runs[-1].start, place + 1)
                size += span_size
            else:
                runs.append(range(place, place + 1))
                size = span_size
        return [run for run in runs if len(run) >= at_least]
