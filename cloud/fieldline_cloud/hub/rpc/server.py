"""The gRPC server: registers the hub's service with health and reflection, and turns refusals into typed errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError as ProtobufDecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from fieldline.client.status import ERROR_KEY
from fieldline.limits import GRPC_MESSAGE_BYTES_MAX
from fieldline.v1 import hub_pb2, passthrough_pb2
from fieldline_cloud.hub.broker import Broker
from fieldline_cloud.hub.engines.base import StorageError
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.rpc.publish import PublishStream
from fieldline_cloud.hub.rpc.subscribe import SubscribeStream

__all__ = ["HubServer"]

log = logging.getLogger(__name__)

_SERVICE = "fieldline.v1.Hub"

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", GRPC_MESSAGE_BYTES_MAX),
    # Clients ping every 30 s (fieldline.client.channel); anything down to 10 s is no reason to send them away.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A subscriber that vanished without a word is noticed, and its durable set free, within 30 + 10 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.so_reuseport", 0),  # a second hub on the same port must fail, not share
]


class HubServer:
    """Serves one broker on one address."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._server = grpc.aio.server(options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        self._streams: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self.refusals: dict[str, int] = {}
        """Refused streams by error code."""

    async def start(self, address: str) -> int:
        """Listen; returns the port. Raises OSError if the address cannot be bound."""
        self._server.add_generic_rpc_handlers((self._handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)  # type: ignore[no-untyped-call,unused-ignore]  # newer stubs type it
        services = (_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:  # gRPC's way of saying that bind failed
            raise OSError(str(error)) from error
        await self._server.start()
        for service in ("", _SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return port

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
            },
        )

    async def _publish(self, _: Any, context: Any) -> None:
        statistics = self._broker.statistics
        statistics.publish_streams += 1
        try:
            await self._serve(PublishStream(self._broker, context).run, context)
        finally:
            statistics.publish_streams -= 1

    async def _subscribe(self, _: Any, context: Any) -> None:
        statistics = self._broker.statistics
        statistics.subscribe_streams += 1
        try:
            await self._serve(SubscribeStream(self._broker, context).run, context)
        finally:
            statistics.subscribe_streams -= 1

    async def _serve(self, run: Callable[[], Awaitable[None]], context: Any) -> None:
        """Run one stream; a refusal becomes its status. The work is a task of its own, so that a stop can end it."""
        try:
            self._admit()
            work = asyncio.ensure_future(run())
            self._streams.add(work)
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:  # the client has gone
                work.cancel()
                await asyncio.wait([work])
                work.cancelled() or work.exception()  # nobody is left to be told
                raise
            finally:
                self._streams.discard(work)
            if work.cancelled():
                raise HubRefusal.shutting_down()
            work.result()
        except HubRefusal as refusal:
            await self._refuse(refusal, context)
        except StorageError as error:
            await self._refuse(HubRefusal.storage(error), context)
        except ProtobufDecodeError as error:
            await self._refuse(HubRefusal.protocol(f"request cannot be read: {error}"), context)

    def _admit(self) -> None:
        if self._stopping:
            raise HubRefusal.shutting_down()
        limit = self._broker.settings.limits.streams_max
        if len(self._streams) >= limit:
            raise HubRefusal.too_many("open streams", limit, "limits.streams_max")

    async def _refuse(self, refusal: HubRefusal, context: Any) -> None:
        self.refusals[refusal.name] = self.refusals.get(refusal.name, 0) + 1
        self._broker.statistics.refusals += 1
        log.debug("stream refused: %s", refusal, extra={"code": refusal.name})
        trailing = ((ERROR_KEY, refusal.to_proto().SerializeToString()),)
        await context.abort(refusal.status, str(refusal), trailing)
