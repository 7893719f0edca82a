"""What flows through Fieldline: readings, alerts, tasks. Plain frozen values, free of Protobuf and of I/O."""

import hashlib
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Self

from fieldline.topics import check_name

__all__ = [
    "Alert",
    "AlertState",
    "DeviceId",
    "Evidence",
    "Quality",
    "Reading",
    "Severity",
    "Task",
    "TaskState",
    "Value",
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
    """Where an alert stands."""

    RAISED = "raised"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A reading that made a rule speak, and the limit it crossed, in the tag's own unit."""

    tag: str
    at_ns: int
    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should know about a device.

    `id` is derived from fingerprint and raised_at_ns, so an agent that repeats itself after a crash says the same
    alert again and not a second one. `cleared_at_ns` is 0 while the alert is raised.
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
    evidence: tuple[Evidence, ...] = field(default=())

    @property
    def fingerprint(self) -> str:
        """The same for every raising of this rule on this tag of this device."""
        return f"{self.device}:{self.tag}:{self.rule}"

    @property
    def id(self) -> str:
        """16 hexadecimal digits, the same again for the same raising."""
        return _digest(self.fingerprint, str(self.raised_at_ns))


class TaskState(Enum):
    """Where a task stands."""

    OPEN = "open"
    ASSIGNED = "assigned"
    DONE = "done"


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

    @property
    def topic(self) -> str:
        """`tasks/<site>/<area>/<task>`."""
        return f"tasks/{self.device.site}/{self.device.area}/{self.id}"


def task_id(first_alert_id: str, cause: str) -> str:
    """The id of the task that `first_alert_id` opens: 12 hexadecimal digits, the same again after a crash."""
    return _digest("task", first_alert_id, cause)[:12]


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x00".join(parts).encode(), digest_size=8).hexdigest()
