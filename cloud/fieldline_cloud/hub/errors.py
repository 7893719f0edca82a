"""What the hub says no to: each refusal knows its code, its gRPC status and a message that names the cure."""

import grpc

from fieldline.errors import FieldlineError
from fieldline.v1 import hub_pb2

__all__ = ["HubRefusal"]

_STATUS = {
    hub_pb2.ERROR_CODE_PROTOCOL_VERSION: grpc.StatusCode.FAILED_PRECONDITION,
    hub_pb2.ERROR_CODE_PROTOCOL: grpc.StatusCode.INVALID_ARGUMENT,
    hub_pb2.ERROR_CODE_BAD_NAME: grpc.StatusCode.INVALID_ARGUMENT,
    hub_pb2.ERROR_CODE_BAD_TOPIC: grpc.StatusCode.INVALID_ARGUMENT,
    hub_pb2.ERROR_CODE_BAD_FILTER: grpc.StatusCode.INVALID_ARGUMENT,
    hub_pb2.ERROR_CODE_BAD_FRAME: grpc.StatusCode.INVALID_ARGUMENT,
    hub_pb2.ERROR_CODE_FRAME_TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    hub_pb2.ERROR_CODE_SEQUENCE_GAP: grpc.StatusCode.FAILED_PRECONDITION,
    hub_pb2.ERROR_CODE_BAD_ACK: grpc.StatusCode.INVALID_ARGUMENT,
    hub_pb2.ERROR_CODE_DURABLE_IN_USE: grpc.StatusCode.ALREADY_EXISTS,
    hub_pb2.ERROR_CODE_TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    hub_pb2.ERROR_CODE_STORAGE: grpc.StatusCode.UNAVAILABLE,
    hub_pb2.ERROR_CODE_SHUTTING_DOWN: grpc.StatusCode.UNAVAILABLE,
    hub_pb2.ERROR_CODE_UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    hub_pb2.ERROR_CODE_PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    hub_pb2.ERROR_CODE_RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    hub_pb2.ERROR_CODE_TIMED_OUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    hub_pb2.ERROR_CODE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    hub_pb2.ERROR_CODE_NAME_IN_USE: grpc.StatusCode.ALREADY_EXISTS,
}

_ABOUT_ACCESS = frozenset(
    (
        hub_pb2.ERROR_CODE_TOO_MANY,
        hub_pb2.ERROR_CODE_UNAUTHENTICATED,
        hub_pb2.ERROR_CODE_PERMISSION_DENIED,
        hub_pb2.ERROR_CODE_RATE_LIMITED,
    )
)


class HubRefusal(FieldlineError):
    """Ends one stream with a typed error. `code` is a fieldline.v1.ErrorCode."""

    def __init__(
        self, code: hub_pb2.ErrorCode.ValueType, message: str, *, expected_sequence: int = 0, retry_after_ms: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.expected_sequence = expected_sequence
        self.retry_after_ms = retry_after_ms

    @property
    def status(self) -> grpc.StatusCode:
        """The gRPC status that goes with the code."""
        return _STATUS[self.code]

    @property
    def name(self) -> str:
        """The code's name in lower case: the label of the refusal's metric."""
        return hub_pb2.ErrorCode.Name(self.code).removeprefix("ERROR_CODE_").lower()

    @property
    def is_about_access(self) -> bool:
        """Whether it belongs into the audit log: somebody wanted what it may not have."""
        return self.code in _ABOUT_ACCESS

    def to_proto(self) -> hub_pb2.Error:
        """As it travels in the trailing metadata."""
        return hub_pb2.Error(
            code=self.code,
            message=str(self),
            expected_sequence=self.expected_sequence,
            retry_after_ms=self.retry_after_ms,
        )

    @classmethod
    def protocol(cls, message: str) -> "HubRefusal":
        """A message that does not belong at this point of the stream."""
        return cls(hub_pb2.ERROR_CODE_PROTOCOL, message)

    @classmethod
    def gap(cls, producer: str, expected: int) -> "HubRefusal":
        """Frames are missing before the one that came."""
        return cls(
            hub_pb2.ERROR_CODE_SEQUENCE_GAP,
            f"producer {producer!r}: frames are missing; the next sequence must be {expected}",
            expected_sequence=expected,
        )

    @classmethod
    def too_many(cls, what: str, limit: int, setting: str) -> "HubRefusal":
        """A count is at its bound."""
        return cls(hub_pb2.ERROR_CODE_TOO_MANY, f"the hub already has {limit} {what}; raise {setting} in hub.yaml")

    @classmethod
    def durable_in_use(cls, durable: str, holder: str) -> "HubRefusal":
        """Somebody else reads with this durable."""
        return cls(
            hub_pb2.ERROR_CODE_DURABLE_IN_USE,
            f"durable {durable!r} is in use by client {holder!r}; wait for it to leave, or choose another name",
        )

    @classmethod
    def bad_ack(cls, offset: int, delivered_to: int) -> "HubRefusal":
        """An ack for what was never delivered."""
        return cls(
            hub_pb2.ERROR_CODE_BAD_ACK,
            f"ack up to offset {offset}, but only offsets up to {delivered_to} were delivered on this stream",
        )

    @classmethod
    def not_found(cls, message: str) -> "HubRefusal":
        """There is nothing of that name."""
        return cls(hub_pb2.ERROR_CODE_NOT_FOUND, message)

    @classmethod
    def storage(cls, error: Exception) -> "HubRefusal":
        """The log cannot be used at the moment."""
        return cls(hub_pb2.ERROR_CODE_STORAGE, str(error))

    @classmethod
    def shutting_down(cls) -> "HubRefusal":
        """The hub is being stopped."""
        return cls(hub_pb2.ERROR_CODE_SHUTTING_DOWN, "the hub is shutting down; connect again in a moment")

    @classmethod
    def unauthenticated(cls, message: str) -> "HubRefusal":
        """Nobody knows who calls, or its certificate or token is no good any more."""
        return cls(hub_pb2.ERROR_CODE_UNAUTHENTICATED, message)

    @classmethod
    def denied(cls, message: str) -> "HubRefusal":
        """The identity is known and may not do this."""
        return cls(hub_pb2.ERROR_CODE_PERMISSION_DENIED, message)

    @classmethod
    def too_many_streams(cls, message: str) -> "HubRefusal":
        """The hub, one identity or one address has as many streams as it may."""
        return cls(hub_pb2.ERROR_CODE_TOO_MANY, message)

    @classmethod
    def timed_out(cls, message: str) -> "HubRefusal":
        """Something that had to come did not come in time."""
        return cls(hub_pb2.ERROR_CODE_TIMED_OUT, message)

    @classmethod
    def rate_limited(cls, message: str, wait_s: float) -> "HubRefusal":
        """The identity brings more than it may; there is room again after `wait_s`."""
        return cls(hub_pb2.ERROR_CODE_RATE_LIMITED, message, retry_after_ms=max(1, round(wait_s * 1000)))
