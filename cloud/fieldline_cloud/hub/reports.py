"""What the broker tells those who look after it: subscriptions, topics, dead letters. Pure."""

from dataclasses import dataclass, field

from fieldline_cloud.hub.core.marks import DurableSettings

__all__ = ["DeadLetterReport", "MemberReport", "SubscriptionReport", "TopicReport"]


@dataclass(frozen=True, slots=True)
class MemberReport:
    """One client of a subscription. `pending`: frames it has and has not settled; `queued`: frames waiting for it."""

    client: str
    peer: str = ""
    pending: int = 0
    queued: int = 0
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class SubscriptionReport:
    """A durable subscription, held or not, or an open live one (`durable` empty).

    `next_offset`: durable: everything below is settled; live: the next one to be sent. `pending`: delivered or waiting
    for another try, and not settled. Counters begin with the hub's start. Filters are those it was last opened with.
    """

    durable: str
    filters: tuple[str, ...]
    next_offset: int
    end_offset: int
    options: DurableSettings | None = None
    pending: int = 0
    redelivered: int = 0
    dead: int = 0
    behind: bool = False
    missed_frames: int = 0
    members: tuple[MemberReport, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicReport:
    """A topic the log has been given. `last_offset` is that of its newest frame; None: not known."""

    topic: str
    last_offset: int | None = None
    policy: str = ""
    frames: int = 0
    bytes: int = 0
    partitions: int = 0
    durable: bool = True
    subscribers: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetterReport:
    """A dead letter at `offset`; `original_offset` and what follows are of the frame that was given up."""

    offset: int
    topic: str
    durable: str
    reason: str
    deliveries: int
    original_offset: int
    producer: str
    epoch: int
    sequence: int
    messages: tuple[int, ...] = field(default=())
    stored_at_ms: int = 0
    count: int = 0
    bytes: int = 0
