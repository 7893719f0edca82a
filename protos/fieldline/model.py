"""What flows through Fieldline: readings, alerts, tasks. Plain frozen values, free of Protobuf and of I/O."""

import hashlib
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Self

from fieldline.topics import check_name

__all__ = [
    "Alert",
    "AlertState",
    "Band",
    "Contribution",
    "DeviceId",
    "Evidence",
    "Part",
    "Period",
    "Quality",
    "Reading",
    "RemainingLife",
    "Severity",
    "Task",
    "TaskState",
    "Value",
    "Verdict",
    "VerdictKind",
]

Value = float | int | bool | str | None


class Quality(IntEnum):
    """How far a reading can be trusted, and why not further. 0-63 good, 64-127 uncertain, 128-255 bad."""

    GOOD = 0
    GOOD_CLOCK_CORRECTED = 1  # the time stamp was put right once the clock was synchronised
    UNCERTAIN = 64
    UNCERTAIN_STALE = 65  # the last known value, repeated
    UNCERTAIN_CLOCK = 66  # the time stamp comes from a clock that was not synchronised
    UNCERTAIN_CLAMPED = 67  # it was beyond its limits; the value is the nearer one
    BAD = 128  # the device says that it has no value, or no other reason fits
    BAD_NOT_CONNECTED = 129  # no connection to the device
    BAD_TIMEOUT = 130  # connected, but no answer in time
    BAD_EXCEPTION = 131  # the device answered with an error code
    BAD_RESPONSE = 132  # the answer does not fit the question
    BAD_PARSE = 133  # the payload could not be read as the configured type
    BAD_RANGE = 134  # outside what the sensor can measure
    BAD_STALE = 135  # the device is gone; what it said last does not hold any more
    BAD_CALCULATION = 136  # a formula has no answer: division by zero, too large, the wrong type

    @property
    def is_good(self) -> bool:
        """Whether the value may be used without a second thought."""
        return self < Quality.UNCERTAIN

    @property
    def is_bad(self) -> bool:
        """Whether the value must not be used."""
        return self >= Quality.BAD


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one tag at one moment. `value` is None only where quality is not good.

    `at_ns` is Unix time in nanoseconds, taken when the answer of the device arrived.
    """

    tag: str
    at_ns: int
    value: Value
    quality: Quality = Quality.GOOD


@dataclass(frozen=True, slots=True, order=True)
class DeviceId:
    """Where a device stands: its site, area and name, each `[A-Za-z0-9_.-]{1,64}`."""

    site: str
    area: str
    device: str

    def __post_init__(self) -> None:
        """Refuse names that could not be topic levels, file names or labels."""
        check_name(self.site, "site")
        check_name(self.area, "area")
        check_name(self.device, "device")

    def __str__(self) -> str:
        return f"{self.site}/{self.area}/{self.device}"

    @property
    def readings_topic(self) -> str:
        """`readings/<site>/<area>/<device>`."""
        return f"readings/{self}"

    @property
    def alerts_topic(self) -> str:
        """`alerts/<site>/<area>/<device>`."""
        return f"alerts/{self}"

    @classmethod
    def from_topic(cls, topic: str) -> Self:
        """The device a topic `<kind>/<site>/<area>/<device>` speaks of; BadName if it has another form."""
        levels = topic.split("/")
        if len(levels) != 4:
            levels = ["", "", "", ""]
        return cls(*levels[1:])


class Severity(IntEnum):
    """How much an alert matters; higher is worse. Values are those of fieldline.v1.Severity."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


class AlertState(Enum):
    """Where an alert stands: the seven states of ISA-18.2, where CLEARED is its "normal"."""

    RAISED = "raised"  # the condition holds, nobody has acknowledged it
    ACKNOWLEDGED = "acknowledged"  # the condition holds, somebody knows
    RETURNED = "returned"  # back to normal, but it latches and nobody has acknowledged it
    CLEARED = "cleared"  # back to normal, nothing is left to do
    SHELVED = "shelved"  # put aside by a person, for a while
    SUPPRESSED = "suppressed"  # put aside by design, such as while the machine is off
    OUT_OF_SERVICE = "out_of_service"  # taken out of service by a person, until put back

    @property
    def is_active(self) -> bool:
        """Whether the condition holds and somebody should see it."""
        return self in (AlertState.RAISED, AlertState.ACKNOWLEDGED)

    @property
    def is_aside(self) -> bool:
        """Whether it was put aside, so that the condition does not show."""
        return self in (AlertState.SHELVED, AlertState.SUPPRESSED, AlertState.OUT_OF_SERVICE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A reading that made a rule speak, and the limit it crossed, in the tag's own unit."""

    tag: str
    at_ns: int
    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class Period:
    """From one moment to a later one, both included. Unix time in nanoseconds."""

    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Band:
    """What was expected of a tag, in its own unit."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Contribution:
    """How much one tag has to do with an alert: `share` is 0 to 1; the values are in the tag's unit."""

    tag: str
    share: float
    value: float
    expected: float


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should know about a device.

    `id` is derived from fingerprint and raised_at_ns, so an agent that repeats itself after a crash says the same
    alert again and not a second one. `raised_at_ns` is 0 only for an alarm that was put aside while all was well,
    `cleared_at_ns` is 0 while the condition holds. `confidence` is more than 0 and at most 1: how sure the detector is;
    a limit is always sure.
    """

    device: DeviceId
    tag: str
    rule: str
    cause: str
    severity: Severity
    state: AlertState
    raised_at_ns: int
    message: str
    cleared_at_ns: int = 0
    evidence: tuple[Evidence, ...] = ()
    confidence: float = 1.0
    window: Period | None = None
    """What was looked at."""
    band: Band | None = None
    """What was expected."""
    contributions: tuple[Contribution, ...] = ()
    """Which tags it is about, the largest share first."""
    changed_at_ns: int = 0
    """When this state began; 0: when it was raised or cleared."""
    by: str = ""
    """Who acknowledged it, shelved it or took it out of service."""
    note: str = ""
    until_ns: int = 0
    """When shelving ends."""

    @property
    def group(self) -> str:
        """The same for all alerts of one cause at one device: they are one piece of work."""
        return f"{self.device}:{self.cause}"

    @property
    def fingerprint(self) -> str:
        """The same for every raising of this rule on this tag of this device."""
        return f"{self.device}:{self.tag}:{self.rule}"

    @property
    def id(self) -> str:
        """16 hexadecimal digits, the same again for the same raising."""
        return _digest(self.fingerprint, str(self.raised_at_ns))


class VerdictKind(Enum):
    """What a person found when they looked at what an alert spoke of."""

    CONFIRMED = "confirmed"  # there was something
    FALSE_ALARM = "false_alarm"  # there was nothing
    PLANNED = "planned"  # somebody was at work there, or the process was changed on purpose
    SENSOR_FAULT = "sensor_fault"  # the sensor was wrong, not the machine


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says of an alert. Detectors learn from it.

    `cause` is what it really was, where the alert said something else.
    """

    device: DeviceId
    alert_id: str
    fingerprint: str
    kind: VerdictKind
    by: str
    at_ns: int
    cause: str = ""
    note: str = ""
    task_id: str = ""

    @property
    def topic(self) -> str:
        """`verdicts/<site>/<area>/<device>`."""
        return f"verdicts/{self.device}"


class TaskState(Enum):
    """Where a task stands."""

    OPEN = "open"  # nobody is to do it yet; `reason` says why
    PLANNED = "planned"  # in the plan, not told to the technician yet
    ASSIGNED = "assigned"  # told to the technician
    ACCEPTED = "accepted"
    TRAVELLING = "travelling"
    IN_PROGRESS = "in_progress"
    WAITING_FOR_PARTS = "waiting_for_parts"
    DONE = "done"  # the technician says so; the signal has not yet
    VERIFIED = "verified"  # the signal stayed normal after the work
    REJECTED = "rejected"  # the technician does not take it; it is planned anew
    CANCELLED = "cancelled"  # not to be done

    @property
    def is_over(self) -> bool:
        """Whether nothing will be done any more."""
        return self in (TaskState.VERIFIED, TaskState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Part:
    """So many of one spare part."""

    name: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class RemainingLife:
    """Hours until a failure limit is reached, as quantiles: with 10, 50 and 90 percent it is sooner."""

    p10_h: float
    p50_h: float
    p90_h: float


@dataclass(frozen=True, slots=True)
class Task:
    """Work for a technician. `revision` grows with every change; `technician` is empty while nobody fits."""

    id: str
    device: DeviceId
    cause: str
    severity: Severity
    state: TaskState
    title: str
    instructions: str
    skill: str
    technician: str
    created_at_ns: int
    due_at_ns: int
    alert_ids: tuple[str, ...]
    revision: int = 1
    condition_cleared: bool = False
    skills: tuple[str, ...] = ()
    """All it takes, `skill` among them; empty: `skill` alone."""
    work_s: int = 0
    """How long the work takes."""
    downtime_s: int = 0
    """How long the machine stands for it."""
    parts: tuple[Part, ...] = ()
    place: str = ""
    """Where it is done."""
    priority: float = 0.0
    """0 to 100; the higher the sooner."""
    planned_start_ns: int = 0
    """When the work is to begin; 0 while it has no slot."""
    planned_end_ns: int = 0
    travel_s: int = 0
    """On the way there."""
    pinned: bool = False
    """A person has fixed technician and time."""
    remaining_life: RemainingLife | None = None
    reason: str = ""
    """Why it is open, was rejected, cancelled or moved."""
    by: str = ""
    """Who made the last change; empty: the agent itself."""
    changed_at_ns: int = 0
    """When this state began; 0: when it was created."""

    @property
    def topic(self) -> str:
        """`tasks/<site>/<area>/<task>`."""
        return f"tasks/{self.device.site}/{self.device.area}/{self.id}"


def task_id(first_alert_id: str, cause: str) -> str:
    """The id of the task that `first_alert_id` opens: 12 hexadecimal digits, the same again after a crash."""
    return _digest("task", first_alert_id, cause)[:12]


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x00".join(parts).encode(), digest_size=8).hexdigest()
