"""One group commit in the making: which frames are new, what offsets they get, what else changes. Pure.

A group looks things up in the committed state and changes nothing there, so a commit that fails leaves nothing behind.
"""

from collections.abc import Callable, Mapping

from fieldline.v1 import passthrough_pb2
from fieldline_cloud.hub.core.record import VOLATILE, Record
from fieldline_cloud.hub.core.sequences import Verdict, judge
from fieldline_cloud.hub.engines.base import Append, Appended, IncomingFrame, ProducerKey, StorageError

__all__ = ["Group", "volatile_record"]

_NUMBER_MAX = (1 << 63) - 1


class Group:
    """Frames and marks of one commit, in log order.

    `last_sequence` gives the committed last sequence of a producer (None: unknown); `topic_ids` are the committed
    topics and `next_topic` the next free number for one, from 1.
    """

    def __init__(
        self,
        next_offset: int,
        *,
        last_sequence: Callable[[ProducerKey], int | None],
        topic_ids: Mapping[str, int],
        next_topic: int,
        now_ms: int,
    ) -> None:
        self.first_offset = self.next_offset = next_offset
        self.producers: dict[ProducerKey, int] = {}
        self.new_topics: dict[str, int] = {}
        self.frame_topics: list[int] = []
        self.extras: dict[int, tuple[str, int]] = {}
        """(key, expires_ms) of the frames that have any, by position."""
        self.now_ms = now_ms
        self.deliveries: list[bytes] = []
        self._last_sequence = last_sequence
        self._topic_ids = topic_ids
        self._next_topic = next_topic

    def add(self, append: Append) -> Appended:
        """Judge and number the frames of one producer."""
        producer = append.producer
        last = self.producers.get(producer)
        if last is None:
            last = self._last_sequence(producer)
        records: list[Record] = []
        messages = duplicates = 0
        gap_expected = None
        for frame in append.frames:
            if frame.sequence > _NUMBER_MAX or producer.epoch > _NUMBER_MAX:
                raise StorageError(f"producer {producer.name!r}: epoch and sequence must be at most {_NUMBER_MAX}")
            verdict = judge(last, frame.sequence, frame.skipped_frames)
            if verdict is Verdict.NEW:
                last = frame.sequence
                records.append(self._number(producer, frame))
                messages += frame.messages
            elif verdict is Verdict.DUPLICATE:
                duplicates += 1
            else:
                assert last is not None
                gap_expected = last + 1
                break
        if records:
            assert last is not None
            self.producers[producer] = last
        return Appended(last or 0, records, messages, duplicates, gap_expected)

    def _number(self, producer: ProducerKey, frame: IncomingFrame) -> Record:
        if not frame.durable:
            return volatile_record(producer, frame, self.now_ms)
        offset = self.next_offset
        self.next_offset += 1
        delivery = passthrough_pb2.RawDelivery(
            offset=offset, producer=producer.name, epoch=producer.epoch, frame=frame.data, stored_at_ms=self.now_ms
        ).SerializeToString()
        expires_ms = self.now_ms + frame.ttl_ms if frame.ttl_ms else 0
        if frame.key or expires_ms:
            self.extras[len(self.deliveries)] = (frame.key, expires_ms)
        self.frame_topics.append(self._topic_id(frame.topic))
        self.deliveries.append(delivery)
        return Record(
            offset,
            frame.topic,
            delivery,
            key=frame.key,
            expires_ms=expires_ms,
            messages=frame.messages,
            sequence=frame.sequence,
        )

    def _topic_id(self, topic: str) -> int:
        number = self._topic_ids.get(topic) or self.new_topics.get(topic)
        if number is None:
            number = self._next_topic + len(self.new_topics)
            self.new_topics[topic] = number
        return number


def volatile_record(producer: ProducerKey, frame: IncomingFrame, now_ms: int) -> Record:
    """A frame that is handed to who listens now and leaves nothing behind."""
    delivery = passthrough_pb2.RawDelivery(
        producer=producer.name, epoch=producer.epoch, frame=frame.data, stored_at_ms=now_ms, volatile=True
    ).SerializeToString()
    expires_ms = now_ms + frame.ttl_ms if frame.ttl_ms else 0
    return Record(
        VOLATILE,
        frame.topic,
        delivery,
        key=frame.key,
        expires_ms=expires_ms,
        messages=frame.messages,
        sequence=frame.sequence,
    )
