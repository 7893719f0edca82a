"""A TCP connection, plain or with TLS."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import cast

from fieldline_edge.drivers.modbus.line import Network, TlsFiles

__all__ = ["open_network"]

# A peer that lost power sends no goodbye. The kernel asks after half a minute of silence, then every ten seconds, and
# gives up after three times without an answer.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}

_CLOSED = "it was closed by the other side"
# With TLS 1.3 a device that misses our certificate lets us connect first, and then hangs up.
_CLOSED_WITHOUT_CERTIFICATE = f"{_CLOSED}, which may want a certificate: tls.certificate and tls.key"


async def open_network(way: Network, *, received: Callable[[bytes], None], lost: Callable[[str], None]) -> "_Wire":
    """Connect. Raises OSError or ValueError."""
    loop = asyncio.get_running_loop()
    name = None if way.tls is None else way.tls.server_name or way.host
    context = None if way.tls is None else _context(way.tls)
    farewell = _CLOSED if way.tls is None or way.tls.certificate is not None else _CLOSED_WITHOUT_CERTIFICATE
    _, wire = await loop.create_connection(
        lambda: _Wire(received, lost, farewell), way.host, way.port, ssl=context, server_hostname=name
    )
    return wire


class _Wire(asyncio.Protocol):
    """The connection as asyncio calls it and as we use it."""

    def __init__(self, received: Callable[[bytes], None], lost: Callable[[str], None], farewell: str) -> None:
        self.data_received = received  # type: ignore[assignment,method-assign]  # one call less for every answer
        self._lost = lost
        self._farewell = farewell
        self.is_open = True
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        line = transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            if hasattr(socket, option):
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def connection_lost(self, error: Exception | None) -> None:
        if self.is_open:
            self.is_open = False
            self._lost(str(error) if error else self._farewell)

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        self.is_open = False
        self.data_received = _drop  # type: ignore[assignment,method-assign]  # what still comes is nobody's
        if self._transport is not None:
            self._transport.close()


def _drop(_: bytes) -> None:
    pass


def _context(files: TlsFiles) -> ssl.SSLContext:
    """Raises OSError that names the file."""
    try:
        context = ssl.create_default_context(cafile=files.ca)
    except OSError as error:
        raise OSError(f"tls.ca {files.ca}: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # as Modbus/TCP Security asks
    if files.certificate is not None:
        try:
            context.load_cert_chain(files.certificate, files.key)
        except OSError as error:
            place = f"tls.certificate {files.certificate}, tls.key {files.key}"
            raise OSError(f"{place}: {error.strerror or error}") from error
    return context
