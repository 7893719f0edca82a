"""What the hub asks of a storage engine. Any engine must pass tests/contract/."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fieldline.errors import FieldlineError
from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.core.record import Record

__all__ = [
    "Append",
    "Appended",
    "Chunk",
    "Engine",
    "IncomingFrame",
    "LogStatistics",
    "ProducerKey",
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
    """The size of the log."""

    first_offset: int
    next_offset: int
    frames_bytes: int
    file_bytes: int


class Engine(Protocol):
    """A durable log of frames with producers and cursors.

    `commit` and `trim` are called from one writer thread. All other methods may be called from any
    thread at the same time. All of them block.
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

    def topics(self) -> Sequence[str]:
        """Every topic the log has ever been given."""

    def trim(self, *, bytes_max: int, before_ms: int) -> int:
        """Forget the oldest frames while the log is over `bytes_max`, and those stored before `before_ms` (Unix time).

        Returns how many frames went.
        """

    def statistics(self) -> LogStatistics:
        """The present size of the log."""

    def close(self) -> None:
        """Give files back. Nothing else may be called afterwards."""
