"""What an agent may say of itself."""

from typing import Any

import pytest

from fieldline import Agent
from fieldline.errors import BadName, BadTopic, LimitError


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"kind": ""}, BadName, "agent kind '' must be 1 to 64"),
        ({"kind": "a b"}, BadName, "agent kind 'a b' must be"),
        ({"version": "x" * 65}, LimitError, "has 65 bytes; at most 64 are allowed"),
        ({"version": "\ud800"}, LimitError, "is not valid Unicode"),
        ({"capabilities": {str(n): "" for n in range(33)}}, LimitError, "33 capabilities; an agent has at most 32"),
        ({"capabilities": {"k": "ü" * 128}}, LimitError, "capability 'k' has 257 bytes with its value; at most 256"),
        ({"capabilities": {"": "x"}}, LimitError, "a capability has no name"),
        ({"capabilities": {"serves": "a/#/b"}}, BadTopic, "'#' must be the whole last level"),
        ({"heartbeat_s": 0.4}, LimitError, "heartbeat_s 0.4 is not within 0.5 to 60"),
        ({"heartbeat_s": float("nan")}, LimitError, "is not within"),
    ],
)
def test_what_no_hub_would_take_is_refused_before_it_is_sent(
    fields: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        Agent(**{"kind": "k", **fields})


def test_what_is_at_the_bounds_is_taken() -> None:
    capabilities = {str(n): "x" * 200 for n in range(31)} | {"serves": "jobs/#"}

    assert Agent("k" * 64, "v" * 64, capabilities, heartbeat_s=60).capabilities == capabilities
