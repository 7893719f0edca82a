"""The way to one hub: a channel, and a new one as soon as the certificate files have changed."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from fieldline.access import Access, Tls
from fieldline.client.channel import open_channel
from fieldline.client.status import from_rpc_error
from fieldline.errors import ConfigError, HubError, HubUnavailable

__all__ = ["Link"]

log = logging.getLogger(__name__)

_R = TypeVar("_R")
Stamp = tuple[tuple[int, int, int], ...]


class _Life:
    """One channel, and how many of our streams it carries."""

    def __init__(self, channel: grpc.aio.Channel, stamp: Stamp) -> None:
        self.channel = channel
        self.stamp = stamp
        self.calls = 0


class Link:
    """Opens streams to the hub at `address`, and asks it.

    gRPC cannot change the certificates of a channel. So every new stream looks at the files' times, and where they have
    changed it is opened on a new channel; an old one is closed once it carries no stream. Raises ConfigError for files
    that cannot be read, and for a token that would travel unencrypted to another machine.
    """

    def __init__(self, address: str, access: Access | None = None) -> None:
        self.address = address
        self.access = access or Access()
        self.access.check(address)
        token = self.access.token
        self._metadata = (("authorization", f"Bearer {token}"),) if token else None
        self._retired: list[_Life] = []
        self._life = self._new_life()

    async def open(self, method: str, serializer: Callable[[Any], bytes], deserializer: Callable[[bytes], Any]) -> Any:
        """A new stream; connects if need be."""
        await self._renew()
        life = self._life
        call = life.channel.stream_stream(method, request_serializer=serializer, response_deserializer=deserializer)(
            metadata=self._metadata
        )
        life.calls += 1
        call.add_done_callback(lambda _: self._ended(life))
        return call

    async def ask(
        self, method: str, request: Message, deserializer: Callable[[bytes], _R], *, timeout_s: float | None
    ) -> _R:
        """The answer to one request. Raises HubError, HubUnavailable if there is none within `timeout_s`."""
        await self._renew()
        life = self._life
        life.calls += 1
        call = life.channel.unary_unary(method, request_serializer=_serialised, response_deserializer=deserializer)
        try:
            return await call(request, metadata=self._metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self.explain(error) from error
        finally:
            self._ended(life)

    async def ask_many(
        self, method: str, request: Message, deserializer: Callable[[bytes], _R]
    ) -> AsyncGenerator[_R, None]:
        """The answers to one request, as they come; the hub sends no more than are read. Raises HubError."""
        await self._renew()
        life = self._life
        life.calls += 1
        call = life.channel.unary_stream(method, request_serializer=_serialised, response_deserializer=deserializer)(
            request, metadata=self._metadata
        )
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise self.explain(error) from error
        finally:
            call.cancel()
            self._ended(life)

    def explain(self, error: grpc.aio.AioRpcError) -> HubError:
        """How a stream ended, as one of our errors."""
        return from_rpc_error(error, self.address, tls=self.access.tls is not None)

    async def ready(self) -> None:
        """Return once connected; waits for ever if no hub answers."""
        await self._life.channel.channel_ready()

    async def reach(self, timeout_s: float) -> None:
        """Return once connected; HubUnavailable if no hub answers within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.ready()
        except TimeoutError:
            raise HubUnavailable(
                f"no hub answers at {self.address} within {timeout_s:g} s; "
                "start one with 'fieldline hub', or check the address"
                + (" and the certificates" * bool(self.access.tls))
            ) from None

    async def close(self) -> None:
        """End all streams and connections."""
        for life in (*self._retired, self._life):
            await life.channel.close()
        self._retired = []

    @staticmethod
    def _ended(life: _Life) -> None:
        life.calls -= 1

    async def _renew(self) -> None:
        tls = self.access.tls
        if tls and _stamp(tls) not in (self._life.stamp, ()):
            try:
                life = self._new_life()
            except ConfigError as error:
                log.warning("certificates have changed and cannot be used; going on with the old ones: %s", error)
            else:
                self._retired.append(self._life)
                self._life = life
                log.info("certificates have changed; connecting to %s with the new ones", self.address)
        for life in [one for one in self._retired if not one.calls]:
            self._retired.remove(life)
            await life.channel.close()

    def _new_life(self) -> _Life:
        tls = self.access.tls
        if tls is None:
            return _Life(open_channel(self.address), ())
        stamp = _stamp(tls)  # before reading: a change in between is seen next time
        return _Life(open_channel(self.address, _credentials(tls)), stamp)


def _serialised(request: Message) -> bytes:
    return request.SerializeToString()


def _stamp(tls: Tls) -> Stamp:
    """What changes when a file is replaced; empty while one is missing (in the middle of being replaced, say)."""
    try:
        found = [Path(name).stat() for name in tls.files]
    except OSError:
        return ()
    return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=_read(tls.ca, "ca"),
        private_key=_read(tls.key, "key"),
        certificate_chain=_read(tls.certificate, "certificate"),
    )


def _read(name: Path | str | None, what: str) -> bytes | None:
    if name is None:
        return None
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"TLS {what}: {name}: {error.strerror}; check the path and who may read it") from error
    if b"-----BEGIN " not in content:
        raise ConfigError(f"TLS {what}: {name}: holds no PEM text ('-----BEGIN ...'); check that it is the right file")
    return content
