"""Fieldline's contract and client SDK: what both sides and every outside agent stand on.

async with Runtime("127.0.0.1:50051", name="my-agent") as runtime:
    async with runtime.subscribe("readings/#") as messages:
        async for message in messages:
            ...
"""

# The version comes first: the client tells it to the hub.
__version__ = "0.1.0"

from fieldline.client.message import Delivery, Message
from fieldline.client.outbox import Coalescing
from fieldline.client.producer import FrameProducer, FrameSource
from fieldline.client.runtime import Runtime
from fieldline.client.subscription import Start, Subscription
from fieldline.errors import (
    BadName,
    BadTopic,
    BufferFull,
    Closed,
    ConfigError,
    DecodeError,
    FieldlineError,
    HubError,
    HubUnavailable,
    LimitError,
    Refused,
    SequenceGap,
)
from fieldline.model import Alert, AlertState, DeviceId, Evidence, Quality, Reading, Severity, Task, TaskState

__all__ = [
    "Alert",
    "AlertState",
    "BadName",
    "BadTopic",
    "BufferFull",
    "Closed",
    "Coalescing",
    "ConfigError",
    "DecodeError",
    "Delivery",
    "DeviceId",
    "Evidence",
    "FieldlineError",
    "FrameProducer",
    "FrameSource",
    "HubError",
    "HubUnavailable",
    "LimitError",
    "Message",
    "Quality",
    "Reading",
    "Refused",
    "Runtime",
    "SequenceGap",
    "Severity",
    "Start",
    "Subscription",
    "Task",
    "TaskState",
    "__version__",
]
