"""Frames the hub itself makes: its events, and dead letters."""

import time
import uuid

from fieldline.v1 import hub_pb2
from fieldline.wire.frames import build_frame, close_messages
from fieldline_cloud.hub.core.entry import Grave
from fieldline_cloud.hub.core.group import volatile_record
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.engines.base import IncomingFrame, ProducerKey

__all__ = ["DEAD", "OwnFrames", "dead_letter", "dead_producer"]

DEAD = "$dead"


class OwnFrames:
    """The hub as a publisher of events."""

    def __init__(self) -> None:
        self._producer = ProducerKey("$hub", uuid.uuid4().int >> 65)

    def volatile(self, topic: str, content: bytes) -> Record:
        """One message for who listens now."""
        now_ns = time.time_ns()
        encoding, body = close_messages([content], {}, compress_from_bytes=None)
        data = build_frame(
            topic=topic, key="", sequence=0, count=1, encoding=encoding, body=body, published_at_ns=now_ns
        )
        frame = IncomingFrame(0, 0, topic, 1, data, durable=False)
        return volatile_record(self._producer, frame, now_ns // 1_000_000)


def dead_producer(durable: str, offset: int) -> ProducerKey:
    """Every dead letter is an epoch of its own, so that one that is buried again after a crash is not there twice."""
    return ProducerKey(f"$dead.{durable}", offset)


def dead_letter(durable: str, grave: Grave, record: Record) -> IncomingFrame:
    """The frame of `record` as it goes under $dead/<durable>/, with why and whence. The body is the same."""
    delivery = hub_pb2.Delivery.FromString(record.delivery)
    frame = delivery.frame
    earlier = frame.dead_letter if frame.HasField("dead_letter") else None
    letter = hub_pb2.DeadLetter(
        durable=durable,
        reason=grave.reason,
        deliveries=grave.deliveries + (earlier.deliveries if earlier else 0),
        offset=earlier.offset if earlier else record.offset,
        producer=earlier.producer if earlier else delivery.producer,
        epoch=earlier.epoch if earlier else delivery.epoch,
        sequence=earlier.sequence if earlier else frame.sequence,
        messages=grave.messages,
        topic=earlier.topic if earlier else frame.topic,
    )
    frame.dead_letter.CopyFrom(letter)
    frame.topic = f"{DEAD}/{durable}/{letter.topic}"
    frame.sequence = 1
    frame.skipped_frames = frame.skipped_count = 0
    frame.ttl_ms = frame.receipt = 0
    return IncomingFrame(1, 0, frame.topic, frame.count, frame.SerializeToString(), key=frame.key)
