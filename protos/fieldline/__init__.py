"""Fieldline's contract and client SDK: what both sides and every outside agent stand on.

async with Runtime("127.0.0.1:50051", name="my-agent") as runtime:
    async with runtime.subscribe("readings/#") as messages:
        async for message in messages:
            ...
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fieldline.access import Access, Tls
    from fieldline.agent import Agent, AgentInfo
    from fieldline.client.admin import AdminClient
    from fieldline.client.coalescing import Coalescing
    from fieldline.client.message import DeadLetter, Delivery, Message
    from fieldline.client.pool import PoolStatistics, RuntimePool
    from fieldline.client.producer import FrameProducer, FrameSource
    from fieldline.client.questions import Reply
    from fieldline.client.receipts import Handled
    from fieldline.client.responder import Request, Responder
    from fieldline.client.runtime import Runtime
    from fieldline.client.subscription import Redelivery, Start, Subscription
    from fieldline.errors import (
        AckTimeout,
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
        Nacked,
        NoReceiver,
        RateLimited,
        Refused,
        RequestFailed,
        RequestTimeout,
        SequenceGap,
    )
    from fieldline.looking_after import DeadLetterInfo, MemberInfo, Purged, SubscriptionInfo, TopicInfo
    from fieldline.model import (
        Alert,
        AlertState,
        Band,
        Contribution,
        DeviceId,
        Evidence,
        Part,
        Period,
        Quality,
        Reading,
        RemainingLife,
        Severity,
        Task,
        TaskState,
        Verdict,
        VerdictKind,
    )
    from fieldline.partitions import partition, partition_topic

__version__ = "0.1.0"

__all__ = [
    "Access",
    "AckTimeout",
    "AdminClient",
    "Agent",
    "AgentInfo",
    "Alert",
    "AlertState",
    "BadName",
    "BadTopic",
    "Band",
    "BufferFull",
    "Closed",
    "Coalescing",
    "ConfigError",
    "Contribution",
    "DeadLetter",
    "DeadLetterInfo",
    "DecodeError",
    "Delivery",
    "DeviceId",
    "Evidence",
    "FieldlineError",
    "FrameProducer",
    "FrameSource",
    "Handled",
    "HubError",
    "HubUnavailable",
    "LimitError",
    "MemberInfo",
    "Message",
    "Nacked",
    "NoReceiver",
    "Part",
    "Period",
    "PoolStatistics",
    "Purged",
    "Quality",
    "RateLimited",
    "Reading",
    "Redelivery",
    "Refused",
    "RemainingLife",
    "Reply",
    "Request",
    "RequestFailed",
    "RequestTimeout",
    "Responder",
    "Runtime",
    "RuntimePool",
    "SequenceGap",
    "Severity",
    "Start",
    "Subscription",
    "SubscriptionInfo",
    "Task",
    "TaskState",
    "Tls",
    "TopicInfo",
    "Verdict",
    "VerdictKind",
    "__version__",
    "partition",
    "partition_topic",
]

# Loaded when first used: a tool that only reads a topic or a model does not pay for gRPC (0.15 s).
_HOMES = {
    "fieldline.access": (
        "Access",
        "Tls",
    ),
    "fieldline.client.coalescing": ("Coalescing",),
    "fieldline.agent": (
        "Agent",
        "AgentInfo",
    ),
    "fieldline.client.admin": ("AdminClient",),
    "fieldline.client.message": (
        "DeadLetter",
        "Delivery",
        "Message",
    ),
    "fieldline.client.pool": (
        "PoolStatistics",
        "RuntimePool",
    ),
    "fieldline.client.producer": (
        "FrameProducer",
        "FrameSource",
    ),
    "fieldline.client.questions": ("Reply",),
    "fieldline.client.receipts": ("Handled",),
    "fieldline.client.responder": (
        "Request",
        "Responder",
    ),
    "fieldline.client.runtime": ("Runtime",),
    "fieldline.client.subscription": (
        "Redelivery",
        "Start",
        "Subscription",
    ),
    "fieldline.errors": (
        "AckTimeout",
        "BadName",
        "BadTopic",
        "BufferFull",
        "Closed",
        "ConfigError",
        "DecodeError",
        "FieldlineError",
        "HubError",
        "HubUnavailable",
        "LimitError",
        "Nacked",
        "NoReceiver",
        "RateLimited",
        "Refused",
        "RequestFailed",
        "RequestTimeout",
        "SequenceGap",
    ),
    "fieldline.looking_after": (
        "DeadLetterInfo",
        "MemberInfo",
        "Purged",
        "SubscriptionInfo",
        "TopicInfo",
    ),
    "fieldline.model": (
        "Alert",
        "AlertState",
        "Band",
        "Contribution",
        "DeviceId",
        "Evidence",
        "Part",
        "Period",
        "Quality",
        "Reading",
        "RemainingLife",
        "Severity",
        "Task",
        "TaskState",
        "Verdict",
        "VerdictKind",
    ),
    "fieldline.partitions": (
        "partition",
        "partition_topic",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker would believe that every name is there

    def __getattr__(name: str) -> Any:
        if name not in _HOME_OF:
            raise AttributeError(f"module 'fieldline' has no attribute {name!r}")
        value = getattr(import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
