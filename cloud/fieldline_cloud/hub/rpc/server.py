"""The gRPC server: registers the hub's services with health and reflection, and turns refusals into typed errors."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError as ProtobufDecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from fieldline.client.status import ERROR_KEY
from fieldline.limits import GRPC_MESSAGE_BYTES_MAX
from fieldline.v1 import hub_pb2, passthrough_pb2
from fieldline_cloud.hub.broker import Broker
from fieldline_cloud.hub.core.access import Account, Claims
from fieldline_cloud.hub.core.lobby import Lobby
from fieldline_cloud.hub.engines.base import StorageError
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.rpc.admin import ADMIN_SERVICE, AdminService
from fieldline_cloud.hub.rpc.attend import Attendance, AttendStream
from fieldline_cloud.hub.rpc.claims import claims_of
from fieldline_cloud.hub.rpc.gate import Caller, Gate
from fieldline_cloud.hub.rpc.publish import PublishStream
from fieldline_cloud.hub.rpc.subscribe import SubscribeStream
from fieldline_cloud.hub.settings import HubLimits, TlsSettings

__all__ = ["Door", "HubServer"]

log = logging.getLogger(__name__)

_SERVICE = "fieldline.v1.Hub"
_PENDING_CALLS_MAX = 50_000
_R = TypeVar("_R")

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", GRPC_MESSAGE_BYTES_MAX),
    # Clients ping every 30 s (fieldline.client.channel); anything down to 10 s is no reason to send them away.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A subscriber that vanished without a word is noticed, and its durable set free, within 30 + 10 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),  # or an idle stream would be pinged twice and then hardly ever
    # No pings to measure the line with (fieldline.client.channel); so much of a stream may be here before it is read.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 20),
    ("grpc.http2.max_frame_size", 1 << 20),
    # All clients of a hub come back at once after it was restarted; by default gRPC turns away what goes beyond a few
    # hundred calls that wait to be looked at. How many may come in is `limits.streams_max`.
    ("grpc.server.max_pending_requests", _PENDING_CALLS_MAX),
    ("grpc.server.max_pending_requests_hard_limit", _PENDING_CALLS_MAX),
    ("grpc.so_reuseport", 0),  # a second hub on the same port must fail, not share
]


@dataclass(frozen=True, slots=True)
class Door:
    """An address to listen on; without credentials in plaintext."""

    address: str
    credentials: grpc.ServerCredentials | None = None


@dataclass(slots=True)
class _Open:
    """An open stream: who opened it, and with what."""

    caller: Caller
    claims: Claims = field(default_factory=Claims)


class HubServer:
    """Serves one broker; `gate` says to whom."""

    def __init__(self, broker: Broker, gate: Gate) -> None:
        self._broker = broker
        self._gate = gate
        limits, tls = broker.settings.limits, broker.settings.tls
        age = [] if tls is None else _age_options(tls)
        self._server = grpc.aio.server(options=[*_OPTIONS, *_connection_options(limits), *age])
        self._health = health.aio.HealthServicer()
        self._hello_s_max = limits.hello_s_max
        self._lobby: Lobby[asyncio.Future[Any]] = Lobby(
            limits.streams_max, limits.streams_per_peer_max, limits.half_open_max
        )
        self._streams: dict[asyncio.Future[Any], _Open] = {}
        self._sent_away: dict[asyncio.Future[Any], HubRefusal] = {}
        self._stopping = False
        self.refusals: dict[str, int] = {}
        """Refused streams by error code."""
        self.attendance = Attendance(broker)
        self.admin = AdminService(broker, self._serve)

    async def start(self, doors: Sequence[Door]) -> list[int]:
        """Listen; returns the ports. Raises OSError if an address cannot be bound."""
        self._server.add_generic_rpc_handlers((self._handlers(), self.admin.handler()))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)  # type: ignore[no-untyped-call,unused-ignore]  # newer stubs type it
        services = (_SERVICE, ADMIN_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)
        try:
            ports = [self._open(door) for door in doors]
        except RuntimeError as error:  # gRPC's way of saying that bind failed
            raise OSError(str(error)) from error
        await self._server.start()
        for service in ("", _SERVICE, ADMIN_SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return ports

    def _open(self, door: Door) -> int:
        if door.credentials is None:
            return int(self._server.add_insecure_port(door.address))
        return int(self._server.add_secure_port(door.address, door.credentials))

    @property
    def half_open_streams(self) -> int:
        """Streams that have not said hello yet."""
        return self._lobby.half_open

    async def watch(self, every_s: float) -> None:
        """Send away who was revoked, has expired or may not do any more what it does, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.look_again()

    async def look_again(self, *, even_unchanged: bool = False) -> None:
        """Read changed grants, tokens and revocations now, and send away whom they no longer let in."""
        try:
            await self._gate.read_grants(even_unchanged=even_unchanged)
            self._gate.refresh()
            for work, stream in list(self._streams.items()):
                if refusal := self._gate.why_leave(stream.caller, stream.claims):
                    self._send_away(work, refusal)
        except Exception:  # whatever is in those files, the next look must come: or nobody is ever revoked again
            log.exception("open streams could not be checked; trying again")

    def _send_away(self, work: asyncio.Future[Any], refusal: HubRefusal) -> None:
        self._sent_away[work] = refusal
        work.cancel()

    async def stop(self, drain_s: float) -> None:
        """Refuse new streams and end the open ones, at the latest after `drain_s`."""
        self._stopping = True
        await self._health.enter_graceful_shutdown()
        for task in list(self._streams):
            task.cancel()
        await self._server.stop(drain_s)

    def _handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                "Publish": grpc.stream_stream_rpc_method_handler(
                    self._publish,
                    request_deserializer=passthrough_pb2.RawPublishRequest.FromString,
                ),
                "Subscribe": grpc.stream_stream_rpc_method_handler(
                    self._subscribe,
                    request_deserializer=hub_pb2.SubscribeRequest.FromString,
                ),
                "Attend": grpc.stream_stream_rpc_method_handler(
                    self._attend,
                    request_deserializer=hub_pb2.AttendRequest.FromString,
                    response_serializer=hub_pb2.AttendResponse.SerializeToString,
                ),
                # As bytes: a request that cannot be read is then refused by us.
                "ListAgents": grpc.unary_unary_rpc_method_handler(self._list_agents),
            },
        )

    async def _publish(self, _: Any, context: Any) -> None:
        statistics = self._broker.statistics
        statistics.publish_streams += 1
        try:
            await self._serve_stream(
                lambda caller, first: PublishStream(self._broker, context, caller.account).run(first), context
            )
        finally:
            statistics.publish_streams -= 1

    async def _subscribe(self, _: Any, context: Any) -> None:
        statistics = self._broker.statistics
        statistics.subscribe_streams += 1
        try:
            await self._serve_stream(
                lambda caller, first: SubscribeStream(self._broker, context, caller.account).run(first), context
            )
        finally:
            statistics.subscribe_streams -= 1

    async def _attend(self, _: Any, context: Any) -> None:
        await self._serve_stream(
            lambda caller, first: AttendStream(self.attendance, context, caller).run(first), context
        )

    async def _list_agents(self, data: bytes, context: Any) -> bytes:
        async def answer(_: Caller) -> bytes:
            answer = await self.attendance.answer(hub_pb2.ListAgentsRequest.FromString(data))
            return answer.SerializeToString()

        return await self._serve(answer, context)

    async def _serve(self, run: Callable[[Caller], Awaitable[_R]], context: Any) -> _R:
        """Run a call whose request is there already."""

        async def call(stream: _Open) -> _R:
            return await run(stream.caller)

        return await self._let_in(call, context, greeted=True)

    async def _serve_stream(self, run: Callable[[Caller, Any], Awaitable[None]], context: Any) -> None:
        """Run a stream, once its first request has come."""

        async def call(stream: _Open) -> None:
            first = await self._first(context)
            if first is grpc.aio.EOF:
                return
            if stream.caller.account is not None:
                stream.claims = claims_of(first)
            await run(stream.caller, first)

        await self._let_in(call, context, greeted=False)

    async def _let_in(self, call: Callable[[_Open], Awaitable[_R]], context: Any, *, greeted: bool) -> _R:
        """Run one call; a refusal becomes its status. The work is a task of its own, so that a stop can end it."""
        caller: Caller | None = None
        try:
            if self._stopping:
                raise HubRefusal.shutting_down()
            caller = self._gate.admit(context)
            with _counted(caller.account):
                return await self._work(call, caller, context, greeted=greeted)
        except HubRefusal as refusal:
            await self._refuse(refusal, context, caller)
        except StorageError as error:
            await self._refuse(HubRefusal.storage(error), context, caller)
        except ProtobufDecodeError as error:
            await self._refuse(HubRefusal.protocol(f"request cannot be read: {error}"), context, caller)

    async def _work(self, call: Callable[[_Open], Awaitable[_R]], caller: Caller, context: Any, *, greeted: bool) -> _R:
        # Otherwise they go with the first answer; a refusal that cuts that one short would send them again, and then
        # gRPC tells the client nothing at all.
        await context.send_initial_metadata(())
        host = context.peer().rpartition(":")[0]
        if why := self._lobby.why_full(host):
            raise HubRefusal.too_many_streams(why)
        stream = _Open(caller)
        work = asyncio.ensure_future(call(stream))
        self._streams[work] = stream
        self._enter(work, host)
        if greeted:
            self._lobby.greeted(work)
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:  # the client has gone
            work.cancel()
            await asyncio.wait([work])
            work.cancelled() or work.exception()  # nobody is left to be told
            raise
        finally:
            self._lobby.leave(work)
            del self._streams[work]
            sent_away = self._sent_away.pop(work, None)
        if work.cancelled():
            raise sent_away or HubRefusal.shutting_down()
        return work.result()

    def _enter(self, work: asyncio.Future[Any], host: str) -> None:
        """A call has been let in; those that have only kept silent may have to go for it."""
        limit = self._broker.settings.limits.half_open_max
        for silent in self._lobby.enter(work, host, time.monotonic()):
            self._send_away(silent, HubRefusal.too_many("streams without a hello", limit, "limits.half_open_max"))

    async def _first(self, context: Any) -> Any:
        """The first request of a stream (or EOF), which must come in time."""
        try:
            async with asyncio.timeout(self._hello_s_max):
                first = await context.read()
        except TimeoutError:
            raise HubRefusal.timed_out(
                f"no hello within {self._hello_s_max:g} s; say hello as soon as the stream is open"
            ) from None
        work = asyncio.current_task()
        assert work is not None
        self._lobby.greeted(work)
        return first

    async def _refuse(self, refusal: HubRefusal, context: Any, caller: Caller | None) -> NoReturn:
        self.refusals[refusal.name] = self.refusals.get(refusal.name, 0) + 1
        self._broker.statistics.refusals += 1
        log.debug("stream refused: %s", refusal, extra={"code": refusal.name})
        self._gate.note_refusal(refusal, caller, context.peer())
        trailing = ((ERROR_KEY, refusal.to_proto().SerializeToString()),)
        await context.abort(refusal.status, str(refusal), trailing)
        raise AssertionError("abort raises")


def _connection_options(limits: HubLimits) -> list[tuple[str, Any]]:
    """What gRPC can hold in bounds before there is a stream."""
    return [
        ("grpc.server_handshake_timeout_ms", round(limits.hello_s_max * 1000)),
        ("grpc.max_allowed_incoming_connections", limits.connections_max),
        ("grpc.max_connection_idle_ms", round(limits.connection_idle_s_max * 1000)),
    ]


def _age_options(tls: TlsSettings) -> list[tuple[str, Any]]:
    """Connections end at times, so that certificates that were renewed, or have expired, count."""
    return [
        ("grpc.max_connection_age_ms", tls.connection_age_s_max * 1000),
        ("grpc.max_connection_age_grace_ms", tls.connection_grace_s * 1000),
    ]


@contextlib.contextmanager
def _counted(account: Account | None) -> Iterator[None]:
    if account is None:
        yield
        return
    account.streams += 1
    try:
        yield
    finally:
        account.streams -= 1
