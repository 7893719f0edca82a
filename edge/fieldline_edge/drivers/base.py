"""What every driver is: devices in, readings out, counters on the side.

A driver is built from settings without touching the network, runs until it is cancelled, and ends when the
readings it had in hand are with the sink. Trouble with a device is never an exception: it is readings with a
bad quality.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fieldline.model import DeviceId, Quality, Reading

__all__ = [
    "Clock",
    "DeviceStats",
    "Driver",
    "DriverStats",
    "Gate",
    "GroupStats",
    "HasDeviceStats",
    "Safety",
    "Sink",
    "SystemClock",
]


class Clock(Protocol):
    """Where a driver gets its time from. `monotonic` runs at the pace of the event loop's own clock."""

    def time_ns(self) -> int:
        """Unix time in nanoseconds; may jump when the clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds from some fixed moment; never goes back."""
        ...


class SystemClock:
    """The clock of this machine."""

    def time_ns(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()


class Sink(Protocol):
    """Takes readings from all drivers."""

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        """Take readings of one device. Never blocks and never raises; called in the loop's thread only."""
        ...


class Safety(Protocol):
    """Says when readings that were put are safe: for drivers whose source keeps a message until it is told.

    Called in the loop's thread. `mark()` after a put names everything put so far; once `safe(mark)` returns, a crash
    or a power cut cannot take it any more. What a processing step between driver and spool holds back (a window not
    yet over) does not count as put.
    """

    def mark(self) -> int:
        """A number for everything put so far; it only grows."""
        ...

    async def safe(self, mark: int) -> None:
        """Return once everything up to `mark` is on disk, or lost to a bound and counted."""
        ...

    def hurry_all(self) -> None:
        """Do not wait for more to fill a batch: write what there is."""
        ...


class Gate(Protocol):
    """Says whether polling makes sense now: a full spool may have been told to stop it."""

    @property
    def paused(self) -> bool:
        """Whether what a poll brings now would only be counted as missing."""
        ...

    def skipped(self, readings: int) -> None:
        """A poll was left out because of that; so many readings are missing, and the hub is told."""
        ...


@dataclass(slots=True)
class DriverStats:
    """Counters of one driver since it was built. They only grow, except `connected`, which is 0 or 1.

    A poll is one look at one device; a request is one question on the wire; a message is one MQTT payload.
    """

    connected: int = 0
    connects: int = 0  # connections made, the first one included
    connects_failed: int = 0
    reconnects: int = 0  # connections made after an earlier one was lost
    polls: int = 0
    polls_failed: int = 0  # at least one block gave no good answer
    polls_late: int = 0  # begun more than a tenth of the period after they were due
    polls_missed: int = 0  # never begun, because the poll before was still running
    polls_skipped: int = 0  # not asked, because the device is backing off
    requests: int = 0
    requests_timed_out: int = 0
    requests_refused: int = 0  # answered with an exception code
    requests_garbled: int = 0  # answered with something else than was asked for
    answers_skipped: int = 0  # late, twice, or of somebody nobody asked
    octets_skipped: int = 0  # noise and foreign frames on a serial line
    readings: int = 0
    readings_bad: int = 0  # of these, with a bad quality
    messages: int = 0
    messages_retained: int = 0
    messages_refused: int = 0  # not JSON, too long, or a time stamp that cannot be read
    messages_dropped: int = 0  # pushed out of the full queue by newer ones
    messages_unmatched: int = 0  # of no device
    messages_repeated: int = 0  # delivered again by the broker after a break, and recognised
    devices_found: int = 0  # named by topics or births, and not by the configuration
    names_refused: int = 0  # over the bound of devices or tags, or no name can be made of them
    takeovers: int = 0  # thrown out by another client with our id
    sessions_lost: int = 0  # the broker forgot our session, and what it held
    subscribes_refused: int = 0
    sequence_gaps: int = 0  # Sparkplug: messages missing between two
    rebirths_asked: int = 0  # Sparkplug: asked a node to say again what it has
    metrics_skipped: int = 0  # Sparkplug: of a kind that is no single value, or not known from a birth
    values_refused: int = 0  # a path that leads nowhere, or a value of another type
    errors: int = 0  # faults of our own, logged with a traceback

    def count_readings(self, readings: Sequence[Reading]) -> None:
        """Count readings about to be handed to the sink."""
        self.readings += len(readings)
        doubtful = [reading.quality for reading in readings if reading.quality]  # most are 0, which is GOOD
        self.readings_bad += sum(quality.is_bad for quality in doubtful)


@dataclass(slots=True)
class GroupStats:
    """Counters of one poll group since the driver was built; each means what it means in DriverStats."""

    polls: int = 0
    polls_failed: int = 0
    polls_late: int = 0
    polls_missed: int = 0
    polls_skipped: int = 0


@dataclass(slots=True)
class DeviceStats:
    """How one device is: what a person looks at who wants to know which of many is in trouble."""

    device: DeviceId
    groups: dict[str, GroupStats]  # by name; the empty one follows the device's own period
    quality: Quality = Quality.GOOD  # good while it answers, or why it does not
    answered_at_ns: int = 0  # Unix time of its last good answer; 0: never
    ranges_refused: Sequence[str] = ()  # address ranges it does not let us read, and which are left out


@runtime_checkable
class HasDeviceStats(Protocol):
    """A driver that knows how each of its devices is."""

    @property
    def device_stats(self) -> Sequence[DeviceStats]:
        """One for each device, live."""
        ...


class Driver(Protocol):
    """Reads some devices over one connection."""

    @property
    def stats(self) -> DriverStats:
        """The counters, live."""
        ...

    @property
    def devices(self) -> Sequence[DeviceId]:
        """The devices this driver speaks for, in the order of their configuration."""
        ...

    async def run(self) -> None:
        """Read until cancelled; end when what was in flight is with the sink and the connection is closed."""
        ...
