"""What outsiders import from `fieldline`: pinned, so that no release takes a name away unnoticed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fieldline

PUBLIC = [
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


def test_the_public_names_are_these() -> None:
    assert list(fieldline.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(fieldline, name) is not None
    assert name in dir(fieldline)


def test_what_type_checkers_see_is_what_is_there() -> None:
    tree = ast.parse(Path(fieldline.__file__).read_text())
    seen = {
        alias.name: node.module
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }

    assert sorted([*seen, "__version__"]) == PUBLIC
    for name, module in seen.items():
        assert getattr(sys.modules[module], name) is getattr(fieldline, name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'fieldline' has no attribute 'Nonsense'"):
        _ = fieldline.Nonsense  # type: ignore[attr-defined]  # that is the point


@pytest.mark.parametrize("module", ["fieldline", "fieldline.model", "fieldline.topics", "fieldline.errors"])
def test_reading_a_model_or_a_topic_costs_no_grpc(module: str) -> None:
    code = f"import sys, {module}; print(*(m for m in ('grpc', 'google.protobuf', 'zstandard') if m in sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.strip() == ""
