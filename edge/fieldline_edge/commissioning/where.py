"""The lines a scan is to look at, from what was asked for on the command line. Pure."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fieldline.errors import ConfigError
from fieldline_edge.drivers.modbus.line_settings import LineSettings, SerialSettings

__all__ = ["HOSTS_MAX", "Place", "hosts_of", "network_place", "numbers", "serial_places"]

HOSTS_MAX = 1024
_SPAN = re.compile(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """One line to look at, and how a device on it writes it into its file."""

    settings: LineSettings
    way: tuple[str, ...]


def numbers(text: str, what: str, *, lowest: int, highest: int) -> tuple[int, ...]:
    """`1-4,17` as (1, 2, 3, 4, 17). ConfigError outside of the bounds."""
    found: dict[int, None] = {}
    for part in text.split(","):
        span = _SPAN.match(part)
        first = int(span[1]) if span else -1
        last = int(span[2] or first) if span else -1
        if not lowest <= first <= last <= highest:
            raise ConfigError(f"{what}: {part.strip()!r} is not within {lowest}-{highest}; write it like 1-4,17")
        found |= dict.fromkeys(range(first, last + 1))
    return tuple(found)


def network_place(host: str, port: int, framing: str | None) -> Place:
    """A TCP port. `framing` is tcp, or rtu or ascii for a converter that hands bytes on."""
    given: dict[str, object] = {"host": host, "port": port}
    way = [f"host: {host}"] + ([f"port: {port}"] if port != 502 else [])
    if framing not in (None, "tcp"):
        given["framing"] = framing
        way.append(f"framing: {framing}")
    return Place(LineSettings.model_validate(given), tuple(way))


def serial_places(device: str, bauds: Sequence[int], parities: Sequence[str], framing: str | None) -> Iterator[Place]:
    """A serial port in each of its settings, the likeliest first."""
    for baud in bauds:
        for parity in parities:
            port = SerialSettings.model_validate({"device": device, "baud": baud, "parity": parity})
            given = {"serial": port.model_dump(exclude_unset=True), **({"framing": framing} if framing else {})}
            way: tuple[str, ...] = (f"serial: {{device: {device}, baud: {baud}, parity: {parity}}}",)
            if framing == "ascii":
                way += ("framing: ascii",)
            yield Place(LineSettings.model_validate(given), way)


def hosts_of(subnet: str) -> list[str]:
    """The addresses of a subnet, at most HOSTS_MAX. ConfigError for anything else."""
    try:
        network = ipaddress.ip_network(subnet, strict=False)
    except ValueError as error:
        raise ConfigError(f"--subnet: {subnet!r} is no subnet; write it like 192.168.1.0/24") from error
    if network.num_addresses > HOSTS_MAX:
        raise ConfigError(
            f"--subnet: {subnet} has {network.num_addresses} addresses, more than {HOSTS_MAX}; scan parts"
        )
    return [str(host) for host in network.hosts()]
