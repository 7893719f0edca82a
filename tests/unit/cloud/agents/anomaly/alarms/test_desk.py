"""What people ask of alarms: done, done twice, refused with the cure."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Alert, AlertState
from fieldline.wire.plant import decode_alert, encode_alert
from fieldline_cloud.agents.anomaly.alarms.desk import AlarmDesk
from fieldline_cloud.agents.anomaly.monitor import Monitor
from tests.unit.cloud.agents.anomaly.test_monitor import again, monitor, say
from tests.unit.cloud.agents.doubles import SECOND, T0

HIGH = "demo/hall-a/pump-2:vibration:range_hi"
HIGHEST = "demo/hall-a/pump-2:vibration:range_hi_hi"


def ask(watch: Monitor, order: Any, *, second: int = 10, client: str = "console") -> tuple[dict[str, Any], list[Alert]]:
    content = order if isinstance(order, bytes) else json.dumps(order).encode()
    reply, alerts = AlarmDesk(watch).answer(content, client, T0 + second * SECOND)
    assert json.loads(json.dumps(reply)) == reply
    for alert in alerts:
        assert decode_alert(encode_alert(alert)) == alert
    return reply, alerts


def raised() -> Monitor:
    watch = monitor()
    say(watch, 8.0, at_s=1)
    return watch


def test_the_list_shows_the_worst_first_and_no_cleared_ones() -> None:
    watch = raised()
    reply, alerts = ask(watch, {"do": "list"})
    assert alerts == []
    assert [(one["alarm"], one["state"]) for one in reply["alarms"]] == [(HIGHEST, "raised"), (HIGH, "raised")]
    say(watch, 1.0, at_s=2)
    assert ask(watch, {"do": "list"})[0]["alarms"] == []
    cleared = ask(watch, {"do": "list", "states": ["cleared"]})[0]["alarms"]
    assert [one["message"] for one in cleared] == [
        "vibration 1 is back within the hi_hi limit 7.1",
        "vibration 1 is back within the hi limit 4.5",
    ]


def test_the_list_can_be_narrowed_to_devices_and_says_how_many_are_left_out() -> None:
    watch = raised()
    assert ask(watch, {"do": "list", "device": "+/hall-b/+"})[0]["alarms"] == []
    reply, _ = ask(watch, {"do": "list", "device": "demo/+/pump-?", "limit": 1})
    assert (len(reply["alarms"]), reply["more"]) == (1, 1)


@pytest.mark.parametrize("by_id", [True, False])
def test_acknowledging_says_who_did_it_and_can_come_twice(by_id: bool) -> None:
    watch = raised()
    name = ask(watch, {"do": "list"})[0]["alarms"][1]["id"] if by_id else HIGH
    order = {"do": "acknowledge", "alarm": name, "by": "anna", "note": "on my way"}
    reply, (alert,) = ask(watch, order)
    again_reply, none = ask(watch, order, second=11)
    assert (alert.state, alert.by, alert.note) == (AlertState.ACKNOWLEDGED, "anna (console)", "on my way")
    assert (reply["status"], reply["changed"], again_reply["status"], again_reply["changed"]) == ("done", 1, "done", 0)
    assert none == []


def test_several_alarms_are_acknowledged_in_one_go_or_none_is() -> None:
    watch = raised()
    refused, none = ask(watch, {"do": "acknowledge", "alarms": [HIGH, "demo/hall-a/pump-2:vibration:nonsense"]})
    assert (refused["code"], none) == ("unknown_alarm", [])
    done, alerts = ask(watch, {"do": "acknowledge", "alarms": [HIGH, HIGHEST, HIGH]})
    assert (done["changed"], len(alerts)) == (2, 2)


def test_an_alarm_is_shelved_with_a_reason_and_comes_back_by_itself() -> None:
    watch = raised()
    reply, (aside,) = ask(watch, {"do": "shelve", "alarm": HIGH, "for_s": 60, "note": "known; fitter comes"})
    assert (aside.state, aside.until_ns) == (AlertState.SHELVED, T0 + 70 * SECOND)
    assert reply["alarms"][0]["true_state"] == "raised"
    assert reply["alarms"][0]["until"] == "2025-10-09T08:54:30.000+00:00"
    (back,) = watch.tick(T0 + 70 * SECOND, live=True)
    assert (back.state, back.id) == (AlertState.RAISED, aside.id)


def test_an_alarm_that_was_never_raised_can_be_shelved_and_stays_so_over_a_restart() -> None:
    watch = monitor()
    say(watch, 1.0, at_s=0)
    _, (aside,) = ask(watch, {"do": "shelve", "alarm": HIGH, "for_s": 600, "note": "test run"})
    assert (aside.state, aside.raised_at_ns, aside.cause) == (AlertState.SHELVED, 0, "bearing_wear")
    following, cleared = again(watch)
    assert cleared == []
    assert say(following, 5.0, at_s=11) == []
    _, (back,) = ask(following, {"do": "unshelve", "alarm": HIGH, "by": "anna"}, second=20)
    assert back.state is AlertState.RAISED


def test_out_of_service_lasts_until_it_is_put_back() -> None:
    watch = raised()
    ask(watch, {"do": "out_of_service", "alarm": HIGH, "note": "sensor dismantled"})
    say(watch, 1.0, at_s=20)
    say(watch, 5.0, at_s=21)
    assert watch.tick(T0 + 10**6 * SECOND, live=False) == []
    _, alerts = ask(watch, {"do": "return_to_service", "alarm": HIGH}, second=30)
    assert [alert.state for alert in alerts] == [AlertState.CLEARED, AlertState.RAISED]


@pytest.mark.parametrize(
    ("order", "code", "said"),
    [
        (b"\xff", "bad_request", "no JSON"),
        (b"[]", "bad_request", "acknowledge"),
        (b"x" * 70_000, "bad_request", "more than"),
        ({"do": "explode"}, "bad_request", "acknowledge"),
        ({"do": "acknowledge"}, "bad_request", "names no alarm"),
        ({"do": "acknowledge", "alarm": HIGH, "colour": "red"}, "bad_request", "colour"),
        ({"do": "acknowledge", "alarm": "a b:c:d"}, "bad_request", "site/area/device:tag:rule"),
        ({"do": "acknowledge", "alarm": "0123456789abcdef"}, "unknown_alarm", "'list' shows"),
        ({"do": "acknowledge", "alarm": HIGH.replace("range_hi", "range_lo")}, "unknown_alarm", "range_hi_hi"),
        ({"do": "shelve", "alarm": HIGH, "for_s": 60}, "bad_request", "say why"),
        ({"do": "shelve", "alarm": HIGH, "note": "x"}, "bad_request", "for_s"),
        ({"do": "shelve", "alarm": HIGH, "note": "x", "for_s": 86_401}, "too_long", "24 h"),
        ({"do": "shelve", "alarm": HIGH, "note": "x", "for_s": -1}, "bad_request", "for_s"),
        ({"do": "out_of_service", "alarm": HIGH}, "bad_request", "say why"),
        ({"do": "list", "device": "pump-2"}, "bad_request", "site/area/device"),
        ({"do": "list", "limit": 10**9}, "bad_request", "limit"),
    ],
)
def test_a_wrong_order_is_refused_with_the_cure_and_changes_nothing(order: Any, code: str, said: str) -> None:
    watch = raised()
    watch.take_changes()
    reply, alerts = ask(watch, order)
    assert (reply["status"], reply["code"], alerts) == ("refused", code, [])
    assert said in reply["message"]
    assert watch.take_changes() == []
    assert watch.stats.alarm_orders_refused == 1


def test_orders_that_make_no_sense_in_a_state_are_refused() -> None:
    watch = raised()
    ask(watch, {"do": "shelve", "alarm": HIGH, "for_s": 60, "note": "x"})
    assert ask(watch, {"do": "acknowledge", "alarm": HIGH})[0]["code"] == "put_aside"
    ask(watch, {"do": "out_of_service", "alarm": HIGHEST, "note": "x"})
    assert ask(watch, {"do": "shelve", "alarm": HIGHEST, "for_s": 60, "note": "x"})[0]["code"] == "out_of_service"
    say(watch, 1.0, at_s=20)
    until_clear = {"do": "shelve", "alarm": HIGH, "for_s": 60, "note": "x", "until_clear": True}
    assert ask(watch, until_clear)[0]["code"] == "not_raised"


def test_the_figures_on_the_alarm_system_can_be_asked_for() -> None:
    reply, alerts = ask(raised(), {"do": "health"})
    assert (reply["status"], alerts) == ("done", [])
    assert reply["areas"][0]["last_10_min"] == 1  # two limits of one cause at one device are one thing


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0.5, 1e300, 10**30, "", "x", "\ud800", "a:b:c", HIGH, [], [HIGH], [[]], {}, {"a": 1}]
)
orders = st.fixed_dictionaries(
    {"do": st.sampled_from(["list", "health", "acknowledge", "shelve", "unshelve", "out_of_service", 1, None])},
    optional=dict.fromkeys(("alarm", "alarms", "for_s", "note", "by", "area", "until_clear", "device", "states"), ODD),
)


@given(st.lists(orders, max_size=5))
def test_no_order_whatever_breaks_the_desk(given_orders: list[dict[str, Any]]) -> None:
    watch = raised()
    for order in given_orders:
        reply, alerts = AlarmDesk(watch).answer(json.dumps(order).encode(), "console", T0 + 10 * SECOND)
        assert reply["status"] in ("done", "refused")
        for alert in alerts:
            encode_alert(alert)
    watch.take_changes()
