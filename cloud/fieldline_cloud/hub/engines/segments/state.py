"""What the log knows beside its frames: topics, producers, cursors. Pure.

It is rebuilt at every start from the last saved state and the chunks after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fieldline.errors import DecodeError
from fieldline.v1 import hub_pb2, log_pb2
from fieldline_cloud.hub.core.group import Group
from fieldline_cloud.hub.core.marks import DurableMark, DurableSettings, Redelivery
from fieldline_cloud.hub.engines.base import ProducerKey
from fieldline_cloud.hub.engines.segments.floors import Floors

__all__ = ["FORMAT", "PRODUCERS_MAX", "LogMarks", "meta_of", "meta_of_purges"]

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
    durables: dict[str, DurableMark] = field(default_factory=dict)
    end_offsets: dict[int, int] = field(default_factory=dict)
    """Topic number: the offset behind its newest frame."""
    floors: Floors = field(default_factory=Floors)

    @property
    def heard_ms(self) -> int:
        """When the last frame was stored, as Unix time in ms: the producer heard of last stands last."""
        return next(reversed(self.producers.values()))[1] if self.producers else 0

    def last_sequence(self, producer: ProducerKey) -> int | None:
        """The last stored sequence; None if the producer is unknown."""
        found = self.producers.get(producer)
        return found[0] if found else None

    def apply(self, meta: log_pb2.ChunkMeta, next_offset: int) -> None:
        """A chunk has been committed, or found again."""
        for topic in meta.new_topics:
            self._name(topic.id, topic.name)
            if topic.last_offset:
                self.end_offsets[topic.id] = topic.last_offset
            self.floors.purge(topic.id, topic.purged_below)
        self.end_offsets.update(
            zip(meta.topics, range(next_offset - len(meta.topics) + 1, next_offset + 1), strict=True)
        )
        self.end_offsets.pop(0, None)
        for purge in meta.purges:
            self.floors.written(purge.topic, purge.below_offset)
        for mark in meta.producers:
            key = ProducerKey(mark.name, mark.epoch)
            self.producers.pop(key, None)
            self.producers[key] = (mark.last_sequence, mark.seen_ms)
        while len(self.producers) > PRODUCERS_MAX:
            del self.producers[next(iter(self.producers))]
        for saved in meta.durables:
            self._take(_mark_from_proto(saved))
        self.next_offset = max(self.next_offset, next_offset)

    def is_news(self, mark: DurableMark) -> bool:
        """Whether a mark says something that is not known, and does not move a cursor back."""
        known = self.durables.get(mark.name)
        if known is None:
            return not mark.deleted
        if mark.deleted:
            return True
        return mark.next_offset >= known.next_offset and _merged(known, mark) != known

    def note_producers(self, group: Group) -> None:
        """Frames that are not kept have been numbered: remembered until a later chunk says it."""
        for key, sequence in group.producers.items():
            self.producers.pop(key, None)
            self.producers[key] = (sequence, group.now_ms)

    def _take(self, mark: DurableMark) -> None:
        known = self.durables.get(mark.name)
        if mark.deleted:
            self.durables.pop(mark.name, None)
        elif known is None or mark.next_offset >= known.next_offset:
            self.durables[mark.name] = _merged(known, mark)

    def unknown_topics(self, meta: log_pb2.ChunkMeta) -> bool:
        """Whether a chunk has frames of topics nobody has named."""
        return any(number and number not in self.topic_names for number in meta.topics)

    def learn_topics(self, meta: log_pb2.ChunkMeta, deliveries: Sequence[bytes]) -> None:
        """Take the names of a chunk's topics from its frames."""
        for number, delivery in zip(meta.topics, deliveries, strict=True):
            if number and number not in self.topic_names:
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
            topics=[
                log_pb2.TopicName(
                    id=number,
                    name=name,
                    last_offset=self.end_offsets.get(number, 0),
                    purged_below=self.floors.purged.get(number, 0),
                )
                for number, name in self.topic_names.items()
            ],
            producers=[
                log_pb2.ProducerMark(name=key.name, epoch=key.epoch, last_sequence=sequence, seen_ms=seen_ms)
                for key, (sequence, seen_ms) in self.producers.items()
            ],
            durables=[_mark_to_proto(mark) for mark in self.durables.values()],
        )

    @classmethod
    def from_proto(cls, state: log_pb2.LogState) -> "LogMarks":
        """As it was saved; DecodeError if another format was."""
        if state.format != FORMAT:
            raise DecodeError(f"log has format {state.format}; this hub reads format {FORMAT}")
        marks = cls(next_offset=state.next_offset)
        meta = log_pb2.ChunkMeta(new_topics=state.topics, producers=state.producers, durables=state.durables)
        marks.apply(meta, state.next_offset)
        return marks


def meta_of(group: Group, marks: Sequence[DurableMark]) -> log_pb2.ChunkMeta:
    """What a chunk says beside its frames."""
    return log_pb2.ChunkMeta(
        topics=group.frame_topics,
        new_topics=[log_pb2.TopicName(id=number, name=name) for name, number in group.new_topics.items()],
        producers=[
            log_pb2.ProducerMark(name=key.name, epoch=key.epoch, last_sequence=sequence, seen_ms=group.now_ms)
            for key, sequence in group.producers.items()
        ],
        durables=[_mark_to_proto(mark) for mark in marks],
        frames=[
            log_pb2.FrameMark(index=index, key=key, expires_ms=expires_ms)
            for index, (key, expires_ms) in group.extras.items()
        ],
    )


def meta_of_purges(floors: Mapping[int, int]) -> log_pb2.ChunkMeta:
    """What a chunk without frames says of topics' floors, given by topic number."""
    return log_pb2.ChunkMeta(
        purges=[log_pb2.PurgeMark(topic=topic, below_offset=below) for topic, below in floors.items()]
    )


def _merged(known: DurableMark | None, mark: DurableMark) -> DurableMark:
    """A mark without settings leaves them as they are."""
    if known is None or mark.settings is not None:
        return mark
    return replace(mark, settings=known.settings)


def _mark_to_proto(mark: DurableMark) -> log_pb2.DurableMark:
    saved = log_pb2.DurableMark(
        name=mark.name,
        next_offset=mark.next_offset,
        done=mark.done,
        redeliveries=[
            log_pb2.Redelivery(
                offset=one.offset, deliveries=one.deliveries, only=one.only, reason=one.reason, replay=one.replay
            )
            for one in mark.redeliveries
        ],
        buried_below=mark.buried_below,
        buried=mark.buried,
        deleted=mark.deleted,
    )
    if mark.settings is not None:
        given = mark.settings
        saved.settings.CopyFrom(
            log_pb2.DurableSettings(
                filters=given.filters,
                created_ms=given.created_ms,
                options=hub_pb2.DurableOptions(
                    group=given.group,
                    ack_wait_ms=given.ack_wait_ms,
                    deliveries_max=given.deliveries_max,
                    backoff_ms=given.backoff_ms,
                    hold=given.hold,
                    pending_max=given.pending_max,
                ),
            )
        )
    return saved


def _mark_from_proto(saved: log_pb2.DurableMark) -> DurableMark:
    settings = None
    if saved.HasField("settings"):
        kept = saved.settings
        settings = DurableSettings.of(kept.options, filters=kept.filters, created_ms=kept.created_ms)
    return DurableMark(
        name=saved.name,
        next_offset=saved.next_offset,
        done=tuple(saved.done),
        redeliveries=tuple(
            Redelivery(one.offset, one.deliveries, tuple(one.only), one.reason, one.replay)
            for one in saved.redeliveries
        ),
        settings=settings,
        buried_below=saved.buried_below,
        buried=tuple(saved.buried),
        deleted=saved.deleted,
    )
