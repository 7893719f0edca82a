"""What learned detectors find goes through the same alarm states as rules do."""

import math
from dataclasses import replace
from typing import Any

import pytest

from fieldline.model import AlertState, Band, Contribution, Period, Severity
from fieldline_cloud.agents.anomaly.finding import Finding
from tests.unit.cloud.agents.anomaly.test_monitor import CLEARED, RAISED, RULES, again, monitor, say, told
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

FOUND = Finding(
    device=PUMP,
    tag="vibration",
    rule="surprise",
    cause="unusual",
    severity=Severity.WARNING,
    at_ns=T0,
    score=1.2,
    rest=0.6,
    value=3.4,
    message="vibration 3.4 mm/s is unusual",
    confidence=0.8,
    window=Period(T0 - 60 * SECOND, T0),
    band=Band(1.0, 2.0),
    contributions=(Contribution("vibration", 0.9, 3.4, 1.5),),
)


def at(second: int, score: float, **kwargs: Any) -> Finding:
    return replace(FOUND, at_ns=T0 + second * SECOND, score=score, **kwargs)


def test_a_finding_becomes_an_alert_that_says_how_sure_and_why() -> None:
    (alert,) = monitor().judge(FOUND, T0)
    assert (alert.state, alert.rule, alert.cause, alert.message) == (RAISED, "surprise", "unusual", FOUND.message)
    assert (alert.confidence, alert.band, alert.window) == (0.8, FOUND.band, FOUND.window)
    assert alert.contributions == FOUND.contributions
    assert (alert.evidence[0].value, alert.evidence[0].limit) == (3.4, 2.0)


def test_a_finding_is_raised_at_one_and_cleared_at_rest() -> None:
    watch = monitor()
    said = [told(watch.judge(at(second, score), T0)) for second, score in enumerate((0.9, 1.0, 0.8, 1.5, 0.7, 0.6))]
    assert said == [[], [("surprise", RAISED)], [], [], [], [("surprise", CLEARED)]]


def test_a_finding_keeps_its_delays() -> None:
    watch = monitor()
    delays = {"on_delay_ns": 2 * SECOND, "off_delay_ns": 2 * SECOND}
    said = [told(watch.judge(at(second, 2.0, **delays), T0)) for second in range(3)]
    said += [told(watch.judge(at(second, 0.1, **delays), T0)) for second in range(3, 6)]
    assert said == [[], [], [("surprise", RAISED)], [], [], [("surprise", CLEARED)]]


def test_a_finding_that_gets_worse_is_told_again_under_the_same_id() -> None:
    watch = monitor()
    (first,) = watch.judge(at(0, 1.2), T0)
    (second,) = watch.judge(at(1, 3.0, severity=Severity.CRITICAL), T0 + SECOND)
    assert watch.judge(at(2, 3.0, severity=Severity.CRITICAL), T0 + 2 * SECOND) == []
    assert watch.judge(at(3, 1.2, severity=Severity.WARNING), T0 + 3 * SECOND) == []
    assert (second.state, second.severity, second.id) == (RAISED, Severity.CRITICAL, first.id)


@pytest.mark.parametrize(
    "change",
    [
        {"score": math.nan},
        {"at_ns": -1},
        {"at_ns": 1 << 63},
        {"rule": "two words"},
        {"cause": ""},
        {"tag": ""},
        {"tag": "t" * 300},
        {"confidence": 0.0},
        {"confidence": math.nan},
        {"window": Period(T0, T0 - 1)},
        {"contributions": (Contribution("vibration", 2.0, 1.0, 1.0),)},
    ],
)
def test_a_finding_no_alert_could_carry_is_refused_and_counted(change: dict[str, Any]) -> None:
    watch = monitor()
    assert watch.judge(replace(FOUND, **change), T0) == []
    assert watch.stats.findings_refused == 1
    assert watch.take_changes() == []


def test_a_restart_neither_repeats_nor_forgets_a_finding() -> None:
    watch = monitor()
    (raised,) = watch.judge(FOUND, T0)
    following, cleared = again(watch)
    assert cleared == []
    assert following.judge(at(1, 1.3), T0) == []
    (over,) = following.judge(at(2, 0.1), T0)
    assert (over.id, over.state) == (raised.id, CLEARED)


def test_a_tag_without_any_rule_can_have_a_finding() -> None:
    watch = monitor("kind: anomaly\nrules:\n  - {match: {tag: other}, stale: {}}\n")
    say(watch, 1.0, at_s=0)
    assert told(watch.judge(FOUND, T0)) == [("surprise", RAISED)]
    assert [alert.rule for alert in watch.raised] == ["surprise"]


def test_alarms_of_a_detector_that_is_gone_are_cleared() -> None:
    watch = monitor()
    watch.judge(FOUND, T0)
    watch.judge(replace(FOUND, rule="joint"), T0)
    assert told(watch.drop_findings(frozenset({"joint"}), T0 + SECOND)) == [("surprise", AlertState.CLEARED)]
    assert watch.drop_findings(frozenset({"joint"}), T0 + SECOND) == []


def test_a_tag_without_rules_knows_what_suppresses_it_before_its_first_finding_comes() -> None:
    text = "kind: anomaly\nrules:\n  - suppress_while: {tag: running, equals: false}\n"
    watch = monitor(text)
    say(watch, 1.0, at_s=0)
    say(watch, False, at_s=1, tag="running")
    following, _ = again(watch, text)
    assert told(following.judge(at(2, 1.5), T0)) == [("surprise", AlertState.SUPPRESSED)]
    assert say(following, True, at_s=3, tag="running") == [("surprise", RAISED)]


def test_a_finding_is_suppressed_where_the_design_says_so() -> None:
    watch = monitor(RULES + "  - {match: {tag: vibration}, suppress_while: {tag: running, equals: false}}\n")
    say(watch, 1.0, at_s=0)
    say(watch, False, at_s=1, tag="running")
    assert told(watch.judge(at(2, 1.5), T0)) == [("surprise", AlertState.SUPPRESSED)]
    assert say(watch, True, at_s=3, tag="running") == [("surprise", RAISED)]
