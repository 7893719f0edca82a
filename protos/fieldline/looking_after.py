"""What a hub tells those who look after it, as plain values. Times are Unix times in ms. Pure."""

from dataclasses import dataclass

__all__ = ["DeadLetterInfo", "MemberInfo", "Purged", "SubscriptionInfo", "TopicInfo"]


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic the hub's log has been given.

    `last_offset` is that of its newest frame; None: it is not known. `policy` is the pattern in hub.yaml that governs
    it; empty: the hub's defaults. `frames` and `bytes` count what was stored since the hub was started.
    """

    topic: str
    last_offset: int | None
    policy: str
    frames: int
    bytes: int
    partitions: int
    durable: bool
    subscribers: int


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """One client of a subscription: frames it has not settled (`pending`), frames that wait for it (`queued`)."""

    client: str
    peer: str
    pending: int
    queued: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class SubscriptionInfo:
    """A durable subscription, held or not, or an open live one (`durable` empty).

    `next_offset`: durable: everything below is settled; live: the next one to be sent. `pending`: delivered or waiting
    for another try, and not settled. `redelivered` and `dead` count since the hub was started. The fields from `group`
    on are the durable's options; 0: not by a timer, no bound, the hub's own bound.
    """

    durable: str
    filters: tuple[str, ...]
    next_offset: int
    end_offset: int
    pending: int
    redelivered: int
    dead: int
    behind: bool
    missed_frames: int
    members: tuple[MemberInfo, ...]
    group: bool = False
    ack_wait_ms: int = 0
    deliveries_max: int = 0
    backoff_ms: tuple[int, ...] = ()
    hold: bool = False
    pending_max: int = 0

    @property
    def backlog(self) -> int:
        """Offsets of the log between it and the end: an upper bound of the frames still to be settled."""
        return max(0, self.end_offset - self.next_offset)


@dataclass(frozen=True, slots=True)
class DeadLetterInfo:
    """A dead letter at `offset`; `original_offset`, `producer`, `epoch`, `sequence` are of the frame given up.

    `messages` are the positions that failed; empty: all of the `count` in the frame.
    """

    offset: int
    topic: str
    durable: str
    reason: str
    deliveries: int
    original_offset: int
    producer: str
    epoch: int
    sequence: int
    messages: tuple[int, ...]
    stored_at_ms: int
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Purged:
    """Frames of so many topics, those below this offset, are gone."""

    topics: int
    below_offset: int
