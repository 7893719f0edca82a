"""What the hub asks of a storage engine. Any engine must pass tests/contract/."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fieldline.errors import FieldlineError
from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.core.policies import TopicPolicies
from fieldline_cloud.hub.core.record import Record

__all__ = [
    "Append",
    "Appended",
    "Chunk",
    "Engine",
    "IncomingFrame",
    "LogStatistics",
    "ProducerKey",
    "Retained",
    "RetentionRules",
    "StorageError",
]


class StorageError(FieldlineError):
    """The log cannot be written or read now; the message says why. Nothing of the group was stored."""


class ProducerKey(NamedTuple):
    """Whose sequence it is."""

    name: str
    epoch: int


class IncomingFrame(NamedTuple):
    """A checked frame on its way into the log; `data` is the serialised fieldline.v1.Frame.

    `durable` False: it is numbered and handed on, and leaves nothing behind. `ttl_ms` 0: it never expires. `receipt` is
    the number under which its publisher wants to hear of it; 0: none.
    """

    sequence: int
    skipped_frames: int
    topic: str
    messages: int
    data: bytes
    key: str = ""
    ttl_ms: int = 0
    durable: bool = True
    receipt: int = 0


@dataclass(frozen=True, slots=True)
class Append:
    """Frames of one producer, in sequence order."""

    producer: ProducerKey
    frames: Sequence[IncomingFrame]


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of an Append. `acked_sequence` is safe on disk; `gap_expected` says which frame is missing.

    `records` are what is to be dispatched, in order; those of frames that are not durable have the offset VOLATILE.
    """

    acked_sequence: int
    records: Sequence[Record] = field(default=())
    messages: int = 0
    duplicates: int = 0
    gap_expected: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the log: the matching records from where the read began up to `next_offset`."""

    records: Sequence[Record]
    next_offset: int


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """The size of the log. `damaged_bytes` were found unreadable since it was opened.

    `held_bytes` is about what retention would have let go of the last time, were it not for `hold_offset`.
    """

    first_offset: int
    next_offset: int
    frames_bytes: int
    file_bytes: int
    damaged_bytes: int = 0
    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """How much is kept: the hub's own bounds, and what single topics have instead of them.

    A bound that a topic's policy leaves open is the hub's. Over `bytes_max` the oldest frames go, those of topics that
    are to be kept longer than `age_ms_max` last of all. A topic with `bytes_max` of its own neither counts towards the
    hub's nor goes by it. Hand in the same object every time: what it says of each topic is remembered.
    """

    bytes_max: int
    age_ms_max: int
    policies: TopicPolicies = field(default_factory=TopicPolicies)


@dataclass(frozen=True, slots=True)
class Retained:
    """What a look at the bounds has done: `frames` left the disk; `held_bytes` as in LogStatistics."""

    frames: int
    held_bytes: int = 0


class Engine(Protocol):
    """A durable log of frames with producers and cursors.

    `commit` and `adopt` are called from one writer thread, `retain` from one other (or the same). All other methods may
    be called from any thread at the same time. All of them block; what takes long does not keep the writer waiting.
    """

    def commit(self, appends: Sequence[Append], marks: Mapping[str, DurableMark]) -> list[Appended]:
        """Store new frames and marks of durables, all in one atomic group that is fsynced when this returns.

        A frame whose (producer, sequence) is already stored is not stored again. A mark replaces the one of the same
        name; one whose `next_offset` is lower is dropped, for cursors never move back. A group that holds nothing but
        frames that are not durable is not written. Raises StorageError, and then nothing of the group has happened.
        """

    def adopt(self, producer: ProducerKey, sequence: int) -> None:
        """The producer was told that everything up to `sequence` is safe: go on behind it, if less is known here.

        Kept in memory until its next frame is stored. Called from the writer thread.
        """

    def read(self, start: int, wanted: Callable[[str], bool], *, bytes_max: int) -> Chunk:
        """Committed records from offset `start` on whose topic is wanted, about `bytes_max` bytes of them."""

    def last_sequence(self, producer: ProducerKey) -> int:
        """The last stored sequence of this producer; 0 if none."""

    def cursor(self, durable: str) -> int | None:
        """The next offset a durable subscription has to be given; None if it is not known."""

    def cursors(self) -> Mapping[str, int]:
        """The next offset of every durable subscription."""

    def durables(self) -> Mapping[str, DurableMark]:
        """All that is known of every durable subscription."""

    def fetch(self, offsets: Sequence[int]) -> list[Record]:
        """The records at these (ascending) offsets; those that are not in the log any more are left out."""

    def topics(self) -> Mapping[str, int]:
        """Every topic the log has ever been given, and the offset of its newest frame; -1: not known."""

    def last_values(self, wanted: Callable[[str], bool]) -> list[Record]:
        """The newest frame of every wanted topic, in offset order; of a topic with nothing left, none."""

    def offset_since(self, time_ms: int) -> int:
        """The first offset stored at or after that Unix time; the log's end if there is none.

        Stored times never fall from one frame to the next: while the clock stands before the last of them, frames get
        that one's time.
        """

    def retain(self, rules: RetentionRules, *, now_ms: int, hold_offset: int | None = None) -> Retained:
        """Let go of what is over a bound at `now_ms` (Unix time).

        When it returns, no reader is given a frame that is over its topic's age, over a topic's own bytes or frames, or
        older than what the hub's bytes have room for, in steps of the engine's files. What is hidden by a rule of its
        topic's own stays hidden after a restart; the rest does as soon as `retain` has been called once. The disk gets
        its space back now or, for what lies among frames that stay, by and by.

        The last frame of a topic with `last_value` stays. Nothing at or above `hold_offset` goes, whatever the bounds
        say. Raises StorageError if something could not be done; a later call finishes it.
        """

    def purge(self, wanted: Callable[[str], bool], below_offset: int) -> int:
        """Forget the frames of wanted topics below an offset, last values too; returns for how many topics that is new.

        No reader is given them once this returns, nor after a restart. The disk gets its space back with `retain`.
        Raises StorageError, and then nothing has happened.
        """

    def backup(self) -> Iterator[bytes]:
        """A copy of the log as of this moment, as a tar file in pieces of at most 256 KiB.

        Writing and retention may go on while it is read; what they do is not in it. Close it, or read it to its end.
        """

    def statistics(self) -> LogStatistics:
        """The present size of the log."""

    def close(self) -> None:
        """Give files back. Nothing else may be called afterwards."""
