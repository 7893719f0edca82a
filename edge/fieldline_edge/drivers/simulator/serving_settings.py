"""How the machines of a plant are reached, as the plant file says it. Pure."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic

from fieldline.addresses import is_loopback, parse_address
from fieldline.config import Settings
from fieldline.topics import check_topic
from fieldline_edge.drivers.simulator.framing import Framing

__all__ = [
    "UNITS_MAX",
    "Address",
    "LoopbackAddress",
    "ModbusSettings",
    "MqttSettings",
    "SerialSettings",
    "check_loopback",
    "split_address",
]

UNITS_MAX = 247  # Modbus: 1 to 247 are devices, 0 is broadcast, the rest is reserved


def split_address(address: str) -> tuple[str, int]:
    """`host:port` as a pair; ValueError with the cure if it is not that."""
    return parse_address(address, cure="write it like 127.0.0.1:5020")


def _check_address(address: str) -> str:
    split_address(address)
    return address


def check_loopback(address: str) -> str:
    """`address` itself; ValueError with the cure if others than this machine could reach it."""
    if not is_loopback(split_address(address)[0]):
        raise ValueError(
            f"{address!r} can be reached from outside; commands are taken on loopback only: 127.0.0.1:5021"
        )
    return address


Address = Annotated[str, pydantic.AfterValidator(_check_address)]
LoopbackAddress = Annotated[str, pydantic.AfterValidator(check_loopback)]


class SerialSettings(Settings):
    """One serial line with machines on it, which answer in Modbus RTU."""

    device: Path
    """Path of the serial port, or of one end of a pair made by socat."""
    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200] = 19200
    """Speed of the line."""
    parity: Literal["none", "even", "odd"] = "even"
    """Parity bit."""
    listener: int = pydantic.Field(default=0, ge=0)
    """The machines of which listener are on this line; they answer on the listener's port as well."""


class ModbusSettings(Settings):
    """The Modbus side of the plant."""

    listen: Address = "127.0.0.1:5020"
    """Address of the first listener; 0 takes any free port. Further listeners take the ports after it."""
    units_per_listener: int = pydantic.Field(default=UNITS_MAX, ge=1, le=UNITS_MAX)
    """How many units one listener serves before the next port is used; 1: each machine has its own port."""
    framing: Framing = Framing.TCP
    """How requests are wrapped on the ports: as Modbus TCP, or as RTU frames in a TCP stream."""
    serial: tuple[SerialSettings, ...] = ()
    """Serial lines the machines answer on too."""


class MqttSettings(Settings):
    """The MQTT side of the plant."""

    broker: Address = "127.0.0.1:1883"
    """Address of the broker. It need not be there yet: the plant keeps trying."""
    topic_root: Annotated[str, pydantic.AfterValidator(check_topic)] = "plant"
    """First levels of the topic; a machine publishes to <topic_root>/<area>/<name>."""
    queue_max: int = pydantic.Field(default=1000, ge=1, le=60_000)
    """How many messages may wait for the broker; when it is full the newest are dropped and counted."""
