"""What `fieldline alarms` makes of the agents' replies, without a hub."""

from typing import Any

import pytest

from fieldline.errors import FieldlineError
from fieldline_cloud.cli import alarms
from fieldline_cloud.cli.alarms import figures

HIGH = "demo/hall-a/pump-2:vibration:range_hi"
UNKNOWN = {"status": "refused", "code": "unknown_alarm", "message": "no alarm of this agent"}


def answering(monkeypatch: pytest.MonkeyPatch, *replies: dict[str, Any]) -> list[dict[str, Any]]:
    """Agents that reply so to every order; returns the orders they get."""
    orders: list[dict[str, Any]] = []

    def ask(order: dict[str, Any], *_: object) -> list[dict[str, Any]]:
        orders.append(order)
        return list(replies)

    monkeypatch.setattr(alarms, "_ask", ask)
    return orders


def test_the_agent_that_holds_the_alarm_has_the_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = {"status": "done", "changed": 1, "alarms": [{"alarm": HIGH, "state": "out_of_service"}]}
    orders = answering(monkeypatch, UNKNOWN, done)
    alarms.out([HIGH], why="dismantled", by="anna")
    assert capsys.readouterr().out == f"{HIGH}: out of service\n"
    assert orders == [{"do": "out_of_service", "alarms": [HIGH], "by": "anna", "note": "dismantled"}]


def test_an_alarm_nobody_holds_is_an_error_and_the_others_are_still_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders = answering(monkeypatch, UNKNOWN, UNKNOWN)
    with pytest.raises(FieldlineError, match="unknown_alarm"):
        alarms.ack(["a", "b"])
    assert len(orders) == 2


def test_a_list_that_every_agent_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {"status": "refused", "code": "bad_request", "message": "states: wrong"})
    with pytest.raises(FieldlineError, match="states: wrong"):
        alarms.list_(state=["nonsense"])


def test_the_figures_name_what_chatters_what_is_stale_and_the_worst() -> None:
    reply = {
        "by_state": {"raised": 9, "out_of_service": 1},
        "chattering": ["a:b:c"],
        "stale": [],
        "bad_actors": [{"alarm": "a:b:c", "raisings": 42, "share": 0.63, "chatters": 2}],
    }
    assert figures(reply) == [
        "alarms: 9 raised, 1 out of service",
        "chattering: a:b:c",
        " 63% of all raisings, 42: a:b:c",
    ]
