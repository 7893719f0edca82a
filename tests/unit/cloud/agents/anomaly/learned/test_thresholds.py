"""Verdicts move thresholds, within bounds that no person and no flood can leave."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Alert, AlertState, Severity, Verdict, VerdictKind
from fieldline_cloud.agents.anomaly.learned.thresholds import (
    PERSON_A_DAY_MAX,
    STEPS_A_DAY_MAX,
    Refusal,
    Thresholds,
)
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

DAY = 86_400 * SECOND
FALSE, CONFIRMED = VerdictKind.FALSE_ALARM, VerdictKind.CONFIRMED


def alert(number: int = 0, tag: str = "vibration") -> Alert:
    return Alert(PUMP, tag, "surprise", "anomaly", Severity.WARNING, AlertState.RAISED, T0 + number, "odd")


def verdict(about: Alert, kind: VerdictKind = FALSE, *, at_ns: int = T0 + SECOND, by: str = "Amira") -> Verdict:
    return Verdict(PUMP, about.id, about.fingerprint, kind, by, at_ns)


def knowing(*alerts: Alert) -> Thresholds:
    thresholds = Thresholds()
    for each in alerts:
        assert thresholds.raised(each)
    return thresholds


def test_a_false_alarm_raises_the_threshold_and_a_confirmed_one_lowers_it_a_little() -> None:
    thresholds = knowing(alert(0), alert(1, "pressure"))
    assert thresholds.apply(verdict(alert(0)), T0).after == pytest.approx(1.25)
    assert thresholds.apply(verdict(alert(1, "pressure"), CONFIRMED), T0).after == pytest.approx(0.95)


def test_the_other_alarms_stay_where_they_are() -> None:
    thresholds = knowing(alert())
    thresholds.apply(verdict(alert()), T0)
    assert thresholds.factor(alert(0, "pressure").fingerprint, T0) == 1.0


def test_half_of_it_is_forgotten_in_a_month() -> None:
    thresholds = knowing(alert())
    thresholds.apply(verdict(alert()), T0)
    assert thresholds.factor(alert().fingerprint, T0 + 30 * DAY) == pytest.approx(1.25**0.5)


def test_the_same_verdict_again_changes_nothing() -> None:
    thresholds = knowing(alert())
    first, second = (thresholds.apply(verdict(alert()), T0) for _ in range(2))
    assert first.counts
    assert (second.refusal, second.after, second.counts) == (Refusal.REPEATED, first.after, False)


def test_a_changed_mind_takes_back_what_it_did() -> None:
    thresholds = knowing(alert())
    thresholds.apply(verdict(alert()), T0)
    outcome = thresholds.apply(verdict(alert(), CONFIRMED, at_ns=T0 + 2 * SECOND), T0)
    assert outcome.after == pytest.approx(0.95)
    assert not outcome.counts


def test_an_older_word_does_not_overrule_a_newer_one() -> None:
    thresholds = knowing(alert())
    thresholds.apply(verdict(alert(), at_ns=T0 + 10 * SECOND), T0)
    outcome = thresholds.apply(verdict(alert(), CONFIRMED, at_ns=T0 + SECOND), T0)
    assert outcome.refusal is Refusal.OLDER_WORD


@pytest.mark.parametrize("kind", [VerdictKind.PLANNED, VerdictKind.SENSOR_FAULT])
def test_planned_work_and_faults_of_a_sensor_move_nothing(kind: VerdictKind) -> None:
    outcome = knowing(alert()).apply(verdict(alert(), kind), T0)
    assert (outcome.refusal, outcome.after) == (Refusal.NO_THRESHOLD, 1.0)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        (verdict(alert(99)), Refusal.UNKNOWN_ALERT),
        (replace(verdict(alert()), fingerprint="elsewhere"), Refusal.OTHER_FINGERPRINT),
        (verdict(alert(), at_ns=T0 + DAY), Refusal.FUTURE),
        (verdict(alert(), at_ns=T0 - 100 * DAY), Refusal.TOO_OLD),
        (verdict(alert(), at_ns=T0 - DAY), Refusal.BEFORE_ALERT),
    ],
)
def test_a_verdict_that_cannot_be_is_refused(wrong: Verdict, refusal: Refusal) -> None:
    outcome = knowing(alert()).apply(wrong, T0 + SECOND)
    assert (outcome.refusal, outcome.after) == (refusal, 1.0)
    assert refusal.is_suspect


def test_one_alarm_is_moved_a_few_times_a_day_at_most() -> None:
    alerts = [alert(number) for number in range(STEPS_A_DAY_MAX + 1)]
    thresholds = knowing(*alerts)
    refusals = [thresholds.apply(verdict(each), T0).refusal for each in alerts]
    assert refusals == [None] * STEPS_A_DAY_MAX + [Refusal.TAG_MOVED_ENOUGH]
    assert thresholds.apply(verdict(alerts[-1], at_ns=T0 + DAY), T0 + DAY).refusal is None


def test_one_person_moves_so_much_a_day_at_most() -> None:
    alerts = [alert(0, f"tag{number}") for number in range(PERSON_A_DAY_MAX + 1)]
    thresholds = knowing(*alerts)
    refusals = [thresholds.apply(verdict(each), T0).refusal for each in alerts]
    assert refusals[-2:] == [None, Refusal.PERSON_SAID_ENOUGH]
    assert thresholds.apply(verdict(alerts[-1], by="Luca"), T0).refusal is None


@given(st.lists(st.tuples(st.sampled_from(list(VerdictKind)), st.integers(0, 400)), max_size=300))
def test_no_flood_of_verdicts_leaves_the_bounds(said: list[tuple[VerdictKind, int]]) -> None:
    thresholds = Thresholds()
    for number, (kind, day) in enumerate(said):
        now_ns = T0 + day * DAY
        about = replace(alert(), raised_at_ns=now_ns + number)
        thresholds.raised(about)
        thresholds.apply(verdict(about, kind, at_ns=now_ns + number, by=f"somebody {number}"), now_ns)
        assert 0.8 <= round(thresholds.factor(about.fingerprint, now_ns), 9) <= 3.0


def test_what_was_saved_goes_on() -> None:
    one, other = knowing(alert(0), alert(1)), Thresholds()
    one.apply(verdict(alert(0)), T0)
    tuned, raisings = one.take_changes()
    other.restore(tuned, raisings)
    assert other.factor(alert().fingerprint, T0) == one.factor(alert().fingerprint, T0)
    assert other.apply(verdict(alert(0)), T0).refusal is Refusal.REPEATED
    assert other.apply(verdict(alert(1)), T0).refusal is None
    assert one.take_changes() == ([], [])
