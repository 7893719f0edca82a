"""Between gRPC status codes and our error tree: the hub writes a typed Error beside the status, the SDK reads it."""

import grpc
import grpc.aio
from google.protobuf.message import DecodeError as ProtobufDecodeError

from fieldline.errors import HubError, HubUnavailable, Refused, SequenceGap
from fieldline.v1 import hub_pb2

__all__ = ["ERROR_KEY", "from_rpc_error"]

ERROR_KEY = "fieldline-error-bin"

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


def from_rpc_error(error: grpc.aio.AioRpcError, address: str) -> HubError:
    """HubUnavailable where trying again may help, Refused (or SequenceGap) where it will not."""
    detail = error.details() or error.code().name
    typed = _typed(error)
    if typed and typed.code == hub_pb2.ERROR_CODE_DURABLE_IN_USE:
        return HubUnavailable(detail)  # a standby waits for its turn
    if error.code() in _TRY_AGAIN:
        return HubUnavailable(f"hub at {address} is not available: {detail}; is it running? (fieldline hub)")
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
