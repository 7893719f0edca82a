"""Settings of a gateway: a file with `kind: gateway`."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pydantic
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from fieldline.access_settings import HubTls
from fieldline.addresses import is_loopback, parse_address
from fieldline.config import FileSettings, Settings
from fieldline.limits import BATCH_RAW_BYTES_MAX, BATCH_READINGS_MAX
from fieldline.topics import check_name
from fieldline_edge.commands.settings import CommandsSettings
from fieldline_edge.drivers.modbus.line_settings import disagreements
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.drivers.mqtt.broker_settings import broker_conflicts
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings
from fieldline_edge.drivers.mqtt.sparkplug.settings import SparkplugDeviceSettings
from fieldline_edge.spool.bounds import Bounds, WhenFull
from fieldline_edge.spool.lanes import DrainOrder

__all__ = [
    "BatchSettings",
    "ClockSettings",
    "GatewaySettings",
    "MetricsSettings",
    "ReloadOn",
    "SpoolSettings",
    "Unsynchronised",
    "WhenFull",
    "split_address",
]


def split_address(address: str) -> tuple[str, int]:
    """(host, port) of `host:port`; ValueError, which shows a right one, if it is not of that form."""
    return parse_address(address, cure="write host:port, like 127.0.0.1:50051")


def _address(address: str) -> str:
    split_address(address)
    return address


Address = Annotated[str, AfterValidator(_address)]
Name = Annotated[str, AfterValidator(check_name)]


class BatchSettings(Settings):
    """How readings are gathered into frames: the first bound that is reached sends the batch."""

    linger_ms: int = Field(default=250, ge=0, le=60_000)
    """How long the first reading of a batch waits for others of its device; also what a kill can cost."""
    readings_max: int = Field(default=1000, ge=1, le=BATCH_READINGS_MAX)
    """Most readings in one batch."""
    bytes_max: int = Field(default=65_536, ge=1024, le=BATCH_RAW_BYTES_MAX // 4)
    """Most bytes in one batch, estimated before compression (12 for a number, the length more for a text)."""


class SpoolSettings(Settings):
    """Where frames wait until the hub has them."""

    path: Path
    """File of the spool; its folder is created. Relative to the working directory. One for each gateway."""
    bytes_max: int = Field(default=256 << 20, ge=1 << 20, le=1 << 44)
    """Most bytes the spool's file uses; its write-ahead log takes up to about 4 MiB beside it. On a disk with less
    room the file stops growing while a reserve is left: 8 MiB, or a quarter of a small disk."""
    age_s_max: float | None = Field(default=None, ge=1)
    """Readings that have waited longer are dropped and counted; alarms are kept. Left out: no bound by age."""
    when_full: WhenFull = WhenFull.DROP_OLDEST
    """At the bound: drop_oldest deletes the oldest frames; thin_out keeps every n-th frame of each topic in the older
    half, and thins that again as more comes; stop_polling asks no more and takes no more readings. The hub is told how
    much is missing.
    Alarms are still taken, and dropped last."""
    thin_keep_every: int = Field(default=2, ge=2, le=1000)
    """With thin_out: one frame in how many is kept each time."""
    drain: DrainOrder = DrainOrder.IN_ORDER
    """After an outage: in_order sends the oldest first; newest_first sends fresh readings at once, and what has waited
    behind them, its newest parts first. Alarms always go first."""
    drain_bytes_per_s_max: int | None = Field(default=None, ge=1024)
    """Most bytes a second of what has waited; what is read meanwhile always passes. Left out: no bound."""
    commit_ms_max: int = Field(default=100, ge=0, le=60_000)
    """How long a frame may wait for others to share an fsync; longer is kinder to an SD card, and a kill costs more."""
    memory_bytes_max: int = Field(default=8 << 20, ge=1 << 16, le=1 << 32)
    """Most bytes of frames held in memory while the disk cannot be written; the oldest are dropped beyond."""

    def bounds(self) -> Bounds:
        """The bounds as the spool takes them."""
        return Bounds(self.bytes_max, self.age_s_max, self.when_full, self.thin_keep_every)


class ReloadOn(Enum):
    """When the file is read again while the gateway runs."""

    SIGNAL = "signal"
    WATCH = "watch"


class Unsynchronised(Enum):
    """What becomes of readings while the machine's clock has not been set by a time service."""

    AUTO = "auto"
    MARK = "mark"
    TRUST = "trust"


class ClockSettings(Settings):
    """How far the clock of this machine is trusted."""

    unsynchronised: Unsynchronised = Unsynchronised.AUTO
    """While the clock is not synchronised: mark has readings say so and puts their times right later; trust takes the
    clock as it is; auto marks where a time service runs and no clock with a battery is there, as on a Pi."""
    jump_ms_min: int = Field(default=500, ge=10, le=3_600_000)
    """Smallest step of the synchronised clock that is logged and counted."""


class MetricsSettings(Settings):
    """Prometheus metrics at /metrics and a sign of life at /healthz."""

    listen: Address
    """Address to serve on, like 127.0.0.1:9465; port 0 takes any free one."""
    allow_remote: bool = False
    """Must be true for an address that other machines can reach: nothing there asks for a password."""
    devices_max: int = Field(default=500, ge=0, le=100_000)
    """Most devices with metrics of their own, first come first served; all are in the sums."""

    @model_validator(mode="after")
    def _stays_at_home(self) -> "MetricsSettings":
        host, port = split_address(self.listen)
        if not self.allow_remote and not is_loopback(host):
            raise ValueError(
                f"listen: {self.listen!r} can be reached by other machines; "
                f"write 127.0.0.1:{port}, or add 'allow_remote: true'"
            )
        return self


DeviceSettings = Annotated[
    ModbusDeviceSettings | MqttDeviceSettings | SparkplugDeviceSettings, Field(discriminator="driver")
]


class GatewaySettings(FileSettings):
    """A gateway: which devices it reads, and to which hub it sends their readings."""

    KIND: ClassVar[str] = "gateway"
    kind: Literal["gateway"]
    """Says that this file describes a gateway."""
    name: Name
    """Name of the gateway; the hub numbers its frames by it, so no two gateways may share one."""
    site: Name
    """Where the gateway stands; second level of every topic."""
    hub: Address
    """Address of the hub, host:port."""
    hub_tls: HubTls | None = None
    """Encryption on the way to the hub; left out: none, which a hub takes on its own machine alone."""
    hub_token: SecretStr | None = None
    """Token that says who we are, where there is no certificate. Write `${FIELDLINE_TOKEN}`, not the token itself."""
    batch: BatchSettings = Field(default_factory=BatchSettings)
    """How readings are gathered into frames."""
    spool: SpoolSettings
    """Where frames wait until the hub has them."""
    commands: CommandsSettings | None = None
    """Writes to devices by command; left out: nothing is ever written."""
    metrics: MetricsSettings | None = None
    """Prometheus metrics; left out: no port is opened."""
    shutdown_drain_s: float = Field(default=2.0, ge=0, le=300)
    """How long the gateway goes on sending after it was told to stop; the rest is sent after the next start."""
    reload: ReloadOn = ReloadOn.SIGNAL
    """When this file is read again: signal waits for SIGHUP (`systemctl reload`), watch also looks every 2 s."""
    clock: ClockSettings = Field(default_factory=ClockSettings)
    """How far the clock of this machine is trusted."""
    devices: tuple[DeviceSettings, ...]
    """The devices to read."""

    @field_validator("devices")
    @classmethod
    def _each_device_once(cls, devices: tuple[DeviceSettings, ...]) -> tuple[DeviceSettings, ...]:
        if not devices:
            raise ValueError("is empty; add at least one device")
        rules = (_duplicates, _disagreements, _broker_conflicts, _unknown_shafts)
        if problems := [problem for rule in rules for problem in rule(devices)]:
            raise pydantic.ValidationError.from_exception_data(cls.__name__, problems)
        return devices


def _duplicates(
    devices: Sequence[ModbusDeviceSettings | MqttDeviceSettings | SparkplugDeviceSettings],
) -> list[InitErrorDetails]:
    first: dict[tuple[str, str], int] = {}
    problems: list[InitErrorDetails] = []
    for index, device in enumerate(devices):
        earlier = first.setdefault((device.area, device.name), index)
        if earlier != index:
            message = (
                f"{device.name!r} in area {device.area!r} is already devices[{earlier}]; "
                f"give devices[{index}] another name or area"
            )
            problems.append(_problem((index, "name"), message, device))
    return problems


def _disagreements(
    devices: Sequence[ModbusDeviceSettings | MqttDeviceSettings | SparkplugDeviceSettings],
) -> list[InitErrorDetails]:
    """Devices on one Modbus line that want it set differently."""
    places = [(index, device) for index, device in enumerate(devices) if isinstance(device, ModbusDeviceSettings)]
    problems: list[InitErrorDetails] = []
    for position, first, difference in disagreements([device for _, device in places]):
        index, device = places[position]
        earlier, other = places[first]
        message = (
            f"{device.name!r} shares the line {device.line.key} with {other.name!r} (devices[{earlier}]), but they "
            f"do not agree: {difference}; write the same in both"
        )
        problems.append(_problem((index,), message, device))
    return problems


def _broker_conflicts(
    devices: Sequence[ModbusDeviceSettings | MqttDeviceSettings | SparkplugDeviceSettings],
) -> list[InitErrorDetails]:
    """Devices of one MQTT broker that would throw each other out."""
    places = [(index, device) for index, device in enumerate(devices) if not isinstance(device, ModbusDeviceSettings)]
    uses = [(device.broker, getattr(device, "host_id", None)) for _, device in places]
    problems: list[InitErrorDetails] = []
    for position, first, difference in broker_conflicts(uses):
        index, device = places[position]
        earlier, other = places[first]
        message = (
            f"{device.name!r} and {other.name!r} (devices[{earlier}]) use the broker {device.broker.host} with "
            f"{difference}; write the same in both"
        )
        problems.append(_problem((index, "broker"), message, device))
    return problems


def _unknown_shafts(
    devices: Sequence[ModbusDeviceSettings | MqttDeviceSettings | SparkplugDeviceSettings],
) -> list[InitErrorDetails]:
    """Waveforms whose shaft is that of a device, or of a tag, that is not there."""
    known = {f"{device.area}/{device.name}": device for device in devices}
    problems: list[InitErrorDetails] = []
    for index, device in enumerate(devices):
        for number, waveform in enumerate(device.waveforms):
            speed = waveform.speed
            if speed is None or speed.device is None:
                continue
            place = (index, "waveforms", number, "speed")
            other = known.get(speed.device)
            if other is None:
                message = f"{speed.device!r} is no device of this gateway; it has {', '.join(sorted(known)[:8])}"
                problems.append(_problem((*place, "device"), message, device))
            elif other.read_tags and speed.tag not in [tag.name for tag in other.read_tags]:
                message = f"{speed.tag!r} is no tag that is read from {speed.device}; write the name of one"
                problems.append(_problem((*place, "tag"), message, device))
    return problems


def _problem(place: tuple[int | str, ...], message: str, device: DeviceSettings) -> InitErrorDetails:
    # The message goes in as a value, for braces in it would be taken for a template.
    error = PydanticCustomError("value_error", "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=place, input=device.name)
