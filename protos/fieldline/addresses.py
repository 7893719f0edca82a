"""Addresses as people write them: host:port. Pure."""

import ipaddress

from fieldline.errors import ConfigError

__all__ = ["is_loopback", "split_address"]


def split_address(address: str, what: str) -> tuple[str, int]:
    """("host", port) of "host:port"; ConfigError that names `what` otherwise."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigError(f"{what}: {address[:80]!r} is not an address; write it like 127.0.0.1:50051")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; of names only `localhost` is trusted."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
