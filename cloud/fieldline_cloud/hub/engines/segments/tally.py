"""How much of each topic a segment holds. Pure.

Retention asks it how much of a file is still wanted without reading the file. A row is about one topic of one segment:
frames, bytes of them, and the offset of the last.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Detail", "OpenTally", "Row", "Tally"]


class Row(NamedTuple):
    """What a segment holds of one topic."""

    topic: int
    frames: int
    bytes: int
    last_offset: int


class Tally:
    """The rows of a segment that is not written any more: 24 bytes each, by topic."""

    __slots__ = ("_bytes", "_frames", "_lasts", "_topics", "bytes_total", "frames_total")

    def __init__(self, topics: "array[int]", frames: "array[int]", sizes: "array[int]", lasts: "array[int]") -> None:
        self._topics, self._frames, self._bytes, self._lasts = topics, frames, sizes, lasts
        self.frames_total = sum(frames)
        self.bytes_total = sum(sizes)

    def __iter__(self) -> Iterator[Row]:
        return map(Row, self._topics, self._frames, self._bytes, self._lasts)

    def __len__(self) -> int:
        return len(self._topics)

    def of(self, topic: int) -> Row | None:
        """The row of a topic; None if the segment holds nothing of it."""
        place = bisect_left(self._topics, topic)
        if place == len(self._topics) or self._topics[place] != topic:
            return None
        return Row(topic, self._frames[place], self._bytes[place], self._lasts[place])

    def columns(self) -> "tuple[array[int], ...]":
        """Topics, frames, bytes and last offsets, as the constructor takes them."""
        return self._topics, self._frames, self._bytes, self._lasts


class OpenTally:
    """The rows of a segment that grows."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[int, list[int]] = {}

    def add(self, first_offset: int, topics: Sequence[int], deliveries: Sequence[bytes]) -> None:
        """Take in the frames of one chunk. Topic 0: a frame that is gone."""
        rows, distinct = self._rows, set(topics)
        if len(distinct) == 1:  # as groups of one busy publisher are; sums are quicker than a loop
            whole = rows.setdefault(distinct.pop(), [0, 0, 0])
            whole[0] += len(deliveries)
            whole[1] += sum(map(len, deliveries))
            whole[2] = first_offset + len(deliveries) - 1
            rows.pop(0, None)
            return
        for offset, (topic, delivery) in enumerate(zip(topics, deliveries, strict=True), first_offset):
            row = rows.get(topic)
            if row is None:
                rows[topic] = [1, len(delivery), offset]
            else:
                row[0] += 1
                row[1] += len(delivery)
                row[2] = offset
        rows.pop(0, None)

    def closed(self) -> Tally:
        """As of now."""
        topics = sorted(self._rows)
        columns = [array(code, (self._rows[topic][place] for topic in topics)) for place, code in enumerate("IQQ")]
        return Tally(array("I", topics), columns[0], columns[1], columns[2])


class Detail:
    """Every single frame of a segment, up to `position` in its file: offsets and bytes, by topic."""

    __slots__ = ("_topics", "position")

    def __init__(self) -> None:
        self.position = 0
        self._topics: dict[int, tuple[array[int], array[int]]] = {}

    def add(self, first_offset: int, topics: Sequence[int], deliveries: Sequence[bytes]) -> None:
        """Take in the frames of one chunk."""
        for offset, (topic, delivery) in enumerate(zip(topics, deliveries, strict=True), first_offset):
            if topic:
                offsets, sizes = self._topics.setdefault(topic, (array("Q"), array("I")))
                offsets.append(offset)
                sizes.append(len(delivery))

    def of(self, topic: int) -> "tuple[array[int], array[int]]":
        """(offsets, bytes) of a topic's frames, ascending; empty if there are none."""
        return self._topics.get(topic) or (array("Q"), array("I"))

    def topics(self) -> Iterator[int]:
        """The topics there are frames of."""
        return iter(self._topics)
