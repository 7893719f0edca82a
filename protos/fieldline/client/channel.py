"""One gRPC channel to a hub: the options that make a long-lived stream on a plant network behave."""

from typing import Any

import grpc
import grpc.aio

from fieldline import __version__
from fieldline.limits import GRPC_MESSAGE_BYTES_MAX, PROTOCOL_VERSION
from fieldline.v1 import hub_pb2

__all__ = [
    "ADMIN_SERVICE",
    "ATTEND_METHOD",
    "LIST_AGENTS_METHOD",
    "PUBLISH_METHOD",
    "SUBSCRIBE_METHOD",
    "hello",
    "open_channel",
]

PUBLISH_METHOD = "/fieldline.v1.Hub/Publish"
SUBSCRIBE_METHOD = "/fieldline.v1.Hub/Subscribe"
ATTEND_METHOD = "/fieldline.v1.Hub/Attend"
LIST_AGENTS_METHOD = "/fieldline.v1.Hub/ListAgents"
ADMIN_SERVICE = "/fieldline.v1.Admin"

# Keepalive notices a peer that vanished without a word (power cut, pulled cable) within 30 + 10 s. The hub allows pings
# down to every 10 s (fieldline_cloud.hub.server), so ours can never draw a GOAWAY too_many_pings.
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),  # or an idle stream would ping twice and then hardly ever
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own for every runtime
    ("grpc.enable_retries", 0),  # streams are resumed by us, never replayed by gRPC
    # Otherwise gRPC measures the line with pings of its own to set its windows by: several for a message on a quiet
    # stream. What may be on the way is bounded by our windows.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 << 20),
    ("grpc.http2.max_frame_size", 1 << 20),
    # A plant's hub is named by address; a proxy variable set for the web must not swallow the readings.
    ("grpc.enable_http_proxy", 0),
]


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel to `host:port`, in plaintext without credentials; connects when first used."""
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)


def hello(name: str) -> hub_pb2.Hello:
    """Who we are, as every stream says first."""
    return hub_pb2.Hello(protocol=PROTOCOL_VERSION, name=name, software=f"fieldline-python/{__version__}")
