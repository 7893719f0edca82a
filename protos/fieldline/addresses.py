"""Addresses as people write them: host:port. Pure."""

import ipaddress

from fieldline.errors import ConfigError

__all__ = ["is_loopback", "parse_address", "split_address"]


def parse_address(address: str, *, cure: str = "write it like 127.0.0.1:50051") -> tuple[str, int]:
    """("host", port) of "host:port"; ValueError that ends with `cure` otherwise."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError(f"{address[:80]!r} is not an address; {cure}")
    return host, int(port)


def split_address(address: str, what: str) -> tuple[str, int]:
    """As `parse_address`, but with a ConfigError that names `what`."""
    try:
        return parse_address(address)
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; of names only `localhost` is trusted."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
