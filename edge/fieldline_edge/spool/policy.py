"""What the spool keeps, drops and when it writes. Pure: no disk, no clock.

The promise: a frame counts as taken once it is fsynced. Over `bytes_max`, or when the disk is nearly full, frames give
way as the policy says (see bounds) and are counted, and the next frame sent says how much is missing before it. While
the disk cannot be written, frames wait in memory, bounded, and the oldest are dropped and counted in the same way.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fieldline_edge.spool.chunks import varint
from fieldline_edge.spool.lanes import Lane, open_lane

__all__ = [
    "NO_LOSS",
    "Committed",
    "Entry",
    "Hold",
    "Loss",
    "State",
    "Stored",
    "Writing",
    "bound_bytes",
    "commit_at_s",
    "vacuum_pages",
    "with_gap",
    "with_sequence",
]

# An ack is no news worth an fsync of its own: it rides on the next append, or waits this long.
ACK_WAIT_S = 1.0
_VACUUM_STEP_PAGES = 512
_VACUUM_FREE_PAGES_MIN = 1024
# Left free on the disk, for the write-ahead log: without it a spool that has filled its disk could not even be emptied.
_RESERVE_BYTES_MAX = 8 << 20
# What the file may use however little is left, so that a disk that others have filled does not cost what is on its way.
_FILE_BYTES_MIN = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame on its way into the spool: serialised, without sequence; `at_ns` is when it was made.

    An urgent one (alarms) reaches the hub ahead of everything that waits, and is dropped last.
    """

    frame: bytes
    readings: int
    at_ns: int
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """Frames, and the readings in them, that were dropped before they had a sequence."""

    frames: int = 0
    readings: int = 0

    def __add__(self, other: "Loss") -> "Loss":
        return Loss(self.frames + other.frames, self.readings + other.readings)

    def __bool__(self) -> bool:
        return self.frames > 0


NO_LOSS = Loss()


@dataclass(frozen=True, slots=True)
class State:
    """The spool's numbers as of its last commit; the lanes, `oldest_at_ns`, `last_frame` and `last_urgent` are derived.

    readings_spooled = readings_acked + readings in the backlog + readings dropped from the backlog.
    `readings_dropped` also counts what never got into the file. `readings_polled` is the total handed in as
    of the last commit: what it exceeds spooled and dropped by was still in memory then, and is what a kill at
    that moment would cost. `bytes` is what the frames take in the file's rows.
    """

    next_sequence: int
    urgent_next: int
    frames: int
    bytes: int
    readings_polled: int
    readings_spooled: int
    readings_acked: int
    readings_dropped: int
    frames_spooled: int
    frames_dropped: int
    thinned_up_to: int
    lanes: tuple[Lane, ...] = ()
    oldest_at_ns: int | None = None
    last_frame: int = 0  # id of the newest frame of readings in the file; 0: none
    last_urgent: int = 0  # the same for alarms

    @property
    def epoch(self) -> int:
        """Identity of the numbering that new frames of readings get."""
        return open_lane(self.lanes).epoch

    @property
    def acked_sequence(self) -> int:
        """Up to where the hub has that numbering."""
        return open_lane(self.lanes).acked


@dataclass(frozen=True, slots=True)
class Stored:
    """A frame as read back: `before` is the id it follows, whether that frame is still there or not."""

    sequence: int
    before: int
    frame: bytes
    readings_missing: int = 0


@dataclass(frozen=True, slots=True)
class Writing:
    """What one commit shall bring about.

    `acked` is, by number of the lane, up to which id the hub has it. `in_flight` are the ids (after, up to) that may be
    on their way to the hub: others are dropped first. `now_ns` set: what is too old goes.
    """

    entries: Sequence[Entry] = ()
    loss: Loss = NO_LOSS
    readings_polled: int = 0
    acked: Mapping[int, int] = field(default_factory=dict)
    in_flight: Sequence[tuple[int, int]] = ()
    roll: bool = False
    now_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit has brought about: `appended` are new frames of readings, `dropped_up_to` the youngest id that is
    no longer there although nobody acknowledged it (0: none)."""

    state: State
    appended: Sequence[Stored] = ()
    dropped_up_to: int = 0


class Hold:
    """Frames in memory that wait for the disk.

    Over `bytes_max` the oldest are dropped and added to the loss.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: deque[Entry] = deque()
        self._taken: list[Entry] = []
        self._taken_loss = NO_LOSS
        self._loss = NO_LOSS
        self.bytes = 0
        self.readings = 0
        self.dropped = NO_LOSS  # since the start

    def __len__(self) -> int:
        return len(self._entries) + len(self._taken)

    @property
    def waiting(self) -> int:
        """Frames that are not being written."""
        return len(self._entries)

    @property
    def loss(self) -> Loss:
        """What was lost and has not reached the file as a gap yet."""
        return self._loss + self._taken_loss

    def put(self, entry: Entry) -> None:
        """Take one more frame; may drop the oldest that is not being written."""
        self._entries.append(entry)
        self._count(entry, 1)
        self._keep_bound()

    def rebound(self, bytes_max: int) -> None:
        """Another bound from now on; over it, the oldest are dropped at once."""
        self._bytes_max = bytes_max
        self._keep_bound()

    def lose(self, loss: Loss) -> None:
        """Note readings that were lost before they became a frame."""
        self._loss += loss

    def take(self) -> tuple[list[Entry], Loss]:
        """Everything that waits, to be written; end it with `done` or `give_back`."""
        assert not self._taken, "the last take() was not ended"
        self._taken, self._taken_loss = list(self._entries), self._loss
        self._entries.clear()
        self._loss = NO_LOSS
        return self._taken, self._taken_loss

    def done(self) -> None:
        """What was taken is safe on disk."""
        for entry in self._taken:
            self._count(entry, -1)
        self._taken, self._taken_loss = [], NO_LOSS

    def give_back(self) -> None:
        """What was taken could not be written: it waits again, before what came since."""
        self._entries.extendleft(reversed(self._taken))
        self._loss += self._taken_loss
        self._taken, self._taken_loss = [], NO_LOSS
        self._keep_bound()

    def _keep_bound(self) -> None:
        while self.bytes > self._bytes_max and len(self._entries) > 1:
            entry = self._entries.popleft()
            self._count(entry, -1)
            lost = Loss(1, entry.readings)
            self._loss += lost
            self.dropped += lost

    def _count(self, entry: Entry, sign: int) -> None:
        self.bytes += sign * len(entry.frame)
        self.readings += sign * entry.readings


def commit_at_s(
    *,
    holds: bool,
    ack_since_s: float | None,
    last_commit_s: float,
    commit_s_max: float,
    retry_at_s: float,
) -> float | None:
    """When to commit next; None if there is nothing to write.

    The first frame after a quiet spell is written at once; frames that follow closely share an fsync with the
    others of the next `commit_s_max`. So no frame waits longer than that for the disk to be asked.
    """
    if holds:
        return max(last_commit_s + commit_s_max, retry_at_s)
    if ack_since_s is not None:
        return max(ack_since_s + ACK_WAIT_S, retry_at_s)
    return None


def bound_bytes(*, bytes_max: int, file_bytes: int, disk_bytes: int, left_bytes: int) -> int:
    """How much of its file the spool may use: `bytes_max`, or less where the disk is nearly full.

    `file_bytes` is the size of the file, `disk_bytes` that of its disk, `left_bytes` what nobody uses there. Once only
    a reserve is left, the file grows no more, and the oldest frames make room for the newest.
    """
    reserve = min(_RESERVE_BYTES_MAX, disk_bytes // 4)
    return min(bytes_max, max(_FILE_BYTES_MIN, file_bytes + max(0, left_bytes - reserve)))


def vacuum_pages(*, used: int, free: int) -> int:
    """How many free pages to give back to the file system now; 0 while they will soon be needed again.

    Pages are given back once more of the file is free than used: moving pages wears out flash, and a spool
    that fills and drains every day would only grow again.
    """
    if free < max(_VACUUM_FREE_PAGES_MIN, used):
        return 0
    return min(free, _VACUUM_STEP_PAGES)


def with_sequence(frame: bytes, sequence: int) -> bytes:
    """The serialised frame with field 3 (sequence) set: protobuf messages are joined by joining their bytes."""
    return frame + b"\x18" + varint(sequence)


def with_gap(stored: Stored) -> bytes:
    """The serialised frame, which says what is missing before it: fields 9 (skipped_frames) and 10 (skipped_count)."""
    skipped = stored.sequence - stored.before - 1
    if skipped == 0:
        return stored.frame
    return stored.frame + b"\x48" + varint(skipped) + b"\x50" + varint(stored.readings_missing)
