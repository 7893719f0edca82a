"""A hub's troubles are said once when they begin and once when they are over."""

import json
import logging
from typing import Any

import pytest

from fieldline_cloud.hub.core.conditions import CERTIFICATE_ENDS, LOG_NOT_WRITABLE, Change, Conditions, ending
from fieldline_cloud.hub.watch import HUB_TOPIC, Watch

DAY_S = 86_400.0


def test_a_condition_is_said_when_it_begins_and_when_it_is_over() -> None:
    conditions = Conditions()

    said = [conditions.note(LOG_NOT_WRITABLE, detail) for detail in ("", "full", "still full", "", "")]

    assert said == [
        None,
        Change(LOG_NOT_WRITABLE, True, "full"),
        None,
        Change(LOG_NOT_WRITABLE, False, "still full"),
        None,
    ]
    assert conditions.active == {}


@pytest.mark.parametrize(
    ("left_s", "says"),
    [(8 * DAY_S, ""), (7 * DAY_S, ""), (6.9 * DAY_S, "in 6.9 days"), (0, "expired"), (-1, "expired")],
)
def test_a_certificate_counts_as_ending_in_its_last_seven_days(left_s: float, says: str) -> None:
    said = ending(1e9 + left_s, 1e9)

    assert (says in said) if says else not said


def test_each_trouble_is_one_warning_and_one_event_and_clears(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now: dict[str, Any] = {"failure": "", "ends_s": 30 * DAY_S}
    events: list[tuple[str, dict[str, Any]]] = []
    watch = Watch(
        log_failure=lambda: str(now["failure"]),
        not_after_s=lambda: float(now["ends_s"]),
        announce=lambda topic, content: events.append((topic, json.loads(content))),
        wall_s=lambda: 0.0,
    )
    watch.look()
    for change in ({"failure": "no space left"}, {"ends_s": DAY_S}, {"failure": ""}, {"ends_s": 30 * DAY_S}):
        now |= change
        watch.look()
        watch.look()

    assert [(topic, one["condition"], one["state"]) for topic, one in events] == [
        (HUB_TOPIC, LOG_NOT_WRITABLE, "began"),
        (HUB_TOPIC, CERTIFICATE_ENDS, "began"),
        (HUB_TOPIC, LOG_NOT_WRITABLE, "over"),
        (HUB_TOPIC, CERTIFICATE_ENDS, "over"),
    ]
    assert [one.levelname for one in caplog.records] == ["WARNING", "WARNING", "INFO", "INFO"]
    assert watch.active == {}
