"""What a hub looks like to those who look after it: topics, subscriptions, dead letters, as of this moment."""

from collections.abc import Iterator

from fieldline.topics import matches
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.broker import Broker
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.reports import DeadLetterReport, MemberReport, SubscriptionReport, TopicReport
from fieldline_cloud.hub.subscribers import DurableDesk, LiveSubscriber

__all__ = ["dead_letter_report", "subscription_reports", "topic_reports"]


def topic_reports(broker: Broker, topic_filter: str = "") -> Iterator[TopicReport]:
    """The topics that match (empty: all), in the order in which they came."""
    for topic, count in list(broker.topics.items()):
        if topic_filter and not matches(topic_filter, topic):
            continue
        policy = broker.policies.of(topic)
        yield TopicReport(
            topic=topic,
            last_offset=None if count.last_offset < 0 else count.last_offset,
            policy=policy.filter,
            frames=count.frames,
            bytes=count.bytes,
            partitions=policy.partitions,
            durable=policy.durable,
            subscribers=broker.readers(topic),
        )


def subscription_reports(broker: Broker, *, only_durable: bool = False) -> Iterator[SubscriptionReport]:
    """The durable subscriptions by name, then the live ones in no order.

    What comes and goes while this is read may be in it or not.
    """
    for desk in broker.durables.desks:
        yield _of_desk(desk, broker.tail)
    if only_durable:
        return
    for subscriber in list(broker.subscribers):
        if isinstance(subscriber, LiveSubscriber):
            yield _of_live(subscriber, broker.tail)


def _of_desk(desk: DurableDesk, tail: int) -> SubscriptionReport:
    core = desk.core
    counts = core.counts
    return SubscriptionReport(
        durable=core.name,
        filters=desk.filters,
        next_offset=core.next_offset,
        end_offset=tail,
        options=core.settings,
        pending=core.pending,
        redelivered=counts.redelivered,
        dead=counts.given_up,
        behind=core.behind and core.position < tail,
        missed_frames=counts.trimmed + counts.missed_volatile,
        members=tuple(
            MemberReport(seat.client, seat.peer, seat.member.in_hand, seat.member.queued, seat.since_ms)
            for seat in desk.seats.values()
        ),
    )


def _of_live(subscriber: LiveSubscriber, tail: int) -> SubscriptionReport:
    member = MemberReport(
        subscriber.client, subscriber.peer, queued=len(subscriber.outlet), since_ms=subscriber.since_ms
    )
    return SubscriptionReport(
        durable="",
        filters=subscriber.filters,
        next_offset=subscriber.position,
        end_offset=tail,
        behind=subscriber.behind,
        missed_frames=subscriber.missed_total,
        members=(member,),
    )


def dead_letter_report(record: Record) -> DeadLetterReport:
    """A dead letter as it stands in the log."""
    delivery = hub_pb2.Delivery.FromString(record.delivery)
    frame, letter = delivery.frame, delivery.frame.dead_letter
    return DeadLetterReport(
        offset=record.offset,
        topic=letter.topic,
        durable=letter.durable,
        reason=letter.reason,
        deliveries=letter.deliveries,
        original_offset=letter.offset,
        producer=letter.producer,
        epoch=letter.epoch,
        sequence=letter.sequence,
        messages=tuple(letter.messages),
        stored_at_ms=delivery.stored_at_ms,
        count=frame.count,
        bytes=len(frame.body),
    )
