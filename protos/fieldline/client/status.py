"""Between gRPC status codes and our error tree: the hub writes a typed Error beside the status, the SDK reads it."""

import grpc
import grpc.aio
from google.protobuf.message import DecodeError as ProtobufDecodeError

from fieldline.errors import HubError, HubUnavailable, RateLimited, Refused, SequenceGap
from fieldline.v1 import hub_pb2

__all__ = ["ERROR_KEY", "ConnectionAged", "from_rpc_error"]

ERROR_KEY = "fieldline-error-bin"

# No hub of ours asks for more; whatever else does must not put a client to sleep.
_RETRY_AFTER_S_MAX = 60.0

# How gRPC says that the hub wants its clients to connect again at times (tls.connection_age_s_max).
_AGED = "max connection age"


class ConnectionAged(HubUnavailable):
    """Nothing is wrong: the connection was old, and the next one shows today's certificates."""


# A standby for a durable, or an agent whose former self has not been missed yet.
_WAITS_FOR_ITS_TURN = frozenset((hub_pb2.ERROR_CODE_DURABLE_IN_USE, hub_pb2.ERROR_CODE_NAME_IN_USE))

_TRY_AGAIN = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    )
)


def from_rpc_error(error: grpc.aio.AioRpcError, address: str, *, tls: bool = False) -> HubError:
    """HubUnavailable where trying again may help, Refused (or SequenceGap) where it will not."""
    detail = error.details() or error.code().name
    typed = _typed(error)
    if typed and typed.code in _WAITS_FOR_ITS_TURN:
        return HubUnavailable(detail)
    if typed and typed.code == hub_pb2.ERROR_CODE_RATE_LIMITED:
        return RateLimited(detail, retry_after_s=min(typed.retry_after_ms / 1000, _RETRY_AFTER_S_MAX))
    if error.code() is grpc.StatusCode.UNAVAILABLE and detail == _AGED:
        return ConnectionAged(f"hub at {address} asks us to connect again")
    if error.code() in _TRY_AGAIN:
        # A failed handshake looks like a link that is down: TLS tells the client next to nothing.
        cure = "is it running, and do both sides trust each other's certificates?" if tls else "is it running?"
        return HubUnavailable(f"hub at {address} is not available: {detail}; {cure} (fieldline hub)")
    code = hub_pb2.ErrorCode.Name(typed.code).removeprefix("ERROR_CODE_") if typed else error.code().name
    if typed and typed.code == hub_pb2.ERROR_CODE_SEQUENCE_GAP:
        return SequenceGap(detail, expected=typed.expected_sequence)
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        detail = f"the server at {address} is not a Fieldline hub ({detail})"
    return Refused(detail, code=code)


def _typed(error: grpc.aio.AioRpcError) -> hub_pb2.Error | None:
    for key, value in error.trailing_metadata() or ():
        if key == ERROR_KEY and isinstance(value, bytes):
            try:
                return hub_pb2.Error.FromString(value)
            except ProtobufDecodeError:
                return None  # a newer hub's error: the gRPC status still says enough
    return None
