"""What the log knows beside its frames: topics, producers, cursors. Pure.

It is rebuilt at every start from the last saved state and the chunks after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fieldline.errors import DecodeError
from fieldline.v1 import hub_pb2, log_pb2
from fieldline_cloud.hub.core.group import Group
from fieldline_cloud.hub.engines.base import ProducerKey

__all__ = ["FORMAT", "PRODUCERS_MAX", "LogMarks"]

FORMAT = 1

# Every runtime is a producer of its own, so the table would grow for ever. At the bound the ones that have been silent
# longest are forgotten; a gateway that comes back after a million others starts anew and is served like an unknown one.
PRODUCERS_MAX = 1_000_000


@dataclass(slots=True)
class LogMarks:
    """The committed state. Changed by `apply` alone, after the chunk that says it is on disk."""

    next_offset: int = 0
    next_topic: int = 1
    topic_ids: dict[str, int] = field(default_factory=dict)
    topic_names: dict[int, str] = field(default_factory=dict)
    producers: dict[ProducerKey, tuple[int, int]] = field(default_factory=dict)
    """(last sequence, when last heard of in Unix ms), the longest silent first."""
    cursors: dict[str, int] = field(default_factory=dict)

    def last_sequence(self, producer: ProducerKey) -> int | None:
        """The last stored sequence; None if the producer is unknown."""
        found = self.producers.get(producer)
        return found[0] if found else None

    def apply(self, meta: log_pb2.ChunkMeta, next_offset: int) -> None:
        """A chunk has been committed, or found again."""
        for topic in meta.new_topics:
            self._name(topic.id, topic.name)
        for mark in meta.producers:
            key = ProducerKey(mark.name, mark.epoch)
            self.producers.pop(key, None)
            self.producers[key] = (mark.last_sequence, mark.seen_ms)
        while len(self.producers) > PRODUCERS_MAX:
            del self.producers[next(iter(self.producers))]
        for cursor in meta.cursors:
            self.cursors[cursor.durable] = max(cursor.next_offset, self.cursors.get(cursor.durable, 0))
        self.next_offset = max(self.next_offset, next_offset)

    def unknown_topics(self, meta: log_pb2.ChunkMeta) -> bool:
        """Whether a chunk has frames of topics nobody has named."""
        return any(number not in self.topic_names for number in meta.topics)

    def learn_topics(self, meta: log_pb2.ChunkMeta, deliveries: Sequence[bytes]) -> None:
        """Take the names of a chunk's topics from its frames."""
        for number, delivery in zip(meta.topics, deliveries, strict=True):
            if number not in self.topic_names:
                self._name(number, hub_pb2.Delivery.FromString(delivery).frame.topic)

    def _name(self, number: int, name: str) -> None:
        self.topic_names[number] = name
        self.topic_ids.setdefault(name, number)
        self.next_topic = max(self.next_topic, number + 1)

    def to_proto(self) -> log_pb2.LogState:
        """As it is saved."""
        return log_pb2.LogState(
            format=FORMAT,
            next_offset=self.next_offset,
            topics=[log_pb2.TopicName(id=number, name=name) for number, name in self.topic_names.items()],
            producers=[
                log_pb2.ProducerMark(name=key.name, epoch=key.epoch, last_sequence=sequence, seen_ms=seen_ms)
                for key, (sequence, seen_ms) in self.producers.items()
            ],
            cursors=[log_pb2.CursorMark(durable=name, next_offset=offset) for name, offset in self.cursors.items()],
        )

    @classmethod
    def from_proto(cls, state: log_pb2.LogState) -> "LogMarks":
        """As it was saved; DecodeError if another format was."""
        if state.format != FORMAT:
            raise DecodeError(f"log has format {state.format}; this hub reads format {FORMAT}")
        marks = cls(next_offset=state.next_offset)
        meta = log_pb2.ChunkMeta(new_topics=state.topics, producers=state.producers, cursors=state.cursors)
        marks.apply(meta, state.next_offset)
        return marks


def meta_of(group: Group, cursors: Mapping[str, int], now_ms: int) -> log_pb2.ChunkMeta:
    """What a chunk says beside its frames."""
    return log_pb2.ChunkMeta(
        topics=group.frame_topics,
        new_topics=[log_pb2.TopicName(id=number, name=name) for name, number in group.new_topics.items()],
        producers=[
            log_pb2.ProducerMark(name=key.name, epoch=key.epoch, last_sequence=sequence, seen_ms=now_ms)
            for key, sequence in group.producers.items()
        ],
        cursors=[log_pb2.CursorMark(durable=name, next_offset=offset) for name, offset in cursors.items()],
    )
