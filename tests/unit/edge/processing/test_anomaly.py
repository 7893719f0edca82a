import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.detectors import Surprise
from fieldline.model import Alert, AlertState, DeviceId, Quality, Reading, Severity
from fieldline_edge.processing.anomaly import AnomalySpec, Running, Unusual
from fieldline_edge.processing.stage import NEVER_S, ProcessingStats

S = 1_000_000_000
HOUR = 3600
PUMP = DeviceId("demo", "hall", "pump")
T0_S = 1_750_000_000


class Learner:
    """Something that learns, and what it has told."""

    def __init__(self, *, running: Running | None = None, **spec: Any) -> None:
        self.stats = ProcessingStats()
        self.scores: list[Reading] = []
        self.alerts: list[Alert] = []
        self.spec = AnomalySpec(PUMP, "temperature", "degC", **({"every_ns": 0, "caution": 0.0} | spec))
        self.subject = Unusual(
            self.spec, stats=self.stats, running=running, emit=lambda score, now_s: self.scores.append(score)
        )

    def put(self, at_s: float, value: Any, quality: Quality = Quality.GOOD) -> None:
        reading = Reading("temperature", round((T0_S + at_s) * S), value, quality)
        self.alerts += self.subject.put(reading, at_s) or ()

    def tick(self, now_s: float) -> None:
        if now_s >= self.subject.due_at_s:
            self.alerts += self.subject.tick(now_s, round((T0_S + now_s) * S))

    @property
    def states(self) -> list[str]:
        return [alert.state.value for alert in self.alerts]


def noise(count: int, *, every_s: float = 60.0, seed: int = 1) -> list[tuple[float, float]]:
    chance = random.Random(seed)
    return [(number * every_s, chance.gauss(60.0, 0.5)) for number in range(count)]


def taught(count: int = 500, **spec: Any) -> Learner:
    told = Learner(**spec)
    for at_s, value in noise(count):
        told.put(at_s, value)
    return told


def until_quiet(told: Learner, at_s: float) -> float:
    """Usual values until the score is below the threshold; the time of the last one."""
    for _ in range(100):
        at_s += 60
        told.put(at_s, 60.0)
        if told.subject.due_at_s < NEVER_S:
            return at_s
    raise AssertionError("the score stays high")


def test_a_leap_raises_one_alert_that_says_what_is_usual_and_clears_when_it_is_over() -> None:
    told = taught(off_delay_ns=300 * S, message="pump 3")
    from_s = 500 * 60.0

    for number in range(5):
        told.put(from_s + number * 60, 75.0)
    for at_s, value in noise(40, seed=2):
        told.put(from_s + 300 + at_s, value)

    assert told.states == ["raised", "cleared"]
    raised, cleared = told.alerts
    assert (raised.rule, raised.cause, raised.severity) == ("edge_unusual", "anomaly", Severity.WARNING)
    assert raised.raised_at_ns == round((T0_S + from_s) * S)
    assert raised.message.startswith("pump 3: 75 degC where 5")
    assert "times the largest of the last 8 hours" in raised.message
    assert raised.band is not None
    assert 57 < raised.band.low < 60 < raised.band.high < 63
    assert raised.evidence[0].value == 75.0
    assert raised.evidence[0].limit == raised.band.high
    assert 0.5 < raised.confidence <= 0.99
    assert (cleared.id, cleared.cleared_at_ns > raised.raised_at_ns + 300 * S) == (raised.id, True)


def test_two_weeks_of_noise_raise_nothing_as_shipped() -> None:
    for seed in range(5):
        told = Learner(every_ns=10 * S, caution=6.0)
        for at_s, value in noise(14 * 24 * 12, every_s=300.0, seed=seed):
            told.put(at_s, value)
        assert told.alerts == []


def test_who_is_young_is_cautious_and_still_tells_of_what_is_gross() -> None:
    young, old, gross = (taught(caution=caution) for caution in (6.0, 0.0, 6.0))

    for told, value in ((young, 66.0), (old, 66.0), (gross, 160.0)):
        told.put(500 * 60, value)

    assert (young.states, old.states, gross.states) == ([], ["raised"], ["raised"])


def test_caution_is_counted_in_time_learned_and_a_gap_is_none() -> None:
    told = taught(caution=6.0)

    told.put(500 * 60 + 365 * 24 * HOUR, 66.0)

    assert told.alerts == []


def test_what_is_read_often_is_judged_by_means() -> None:
    told = Learner(every_ns=10 * S)
    chance = random.Random(1)
    for number in range(2_000):
        told.put(number / 2, chance.gauss(60.0, 0.5))

    judged = told.scores
    assert len(judged) == 2_000 // 20 - 50 - 1  # means of 20, less the warm-up, less the one that is not over yet
    assert {(one.at_ns - T0_S * S) % (10 * S) for one in judged} == {9_500_000_000}


def test_what_is_read_slowly_is_judged_at_once() -> None:
    told = taught(every_ns=10 * S)

    told.put(500 * 60, 90.0)

    assert told.states == ["raised"]
    assert told.alerts[0].raised_at_ns == (T0_S + 500 * 60) * S


def test_the_mean_of_a_stretch_is_exact_on_a_high_level() -> None:
    values = [1e9 + 0.001 * number for number in range(10)]
    told = Learner(every_ns=10 * S)
    plain = Surprise()

    for stretch in range(60):
        for number, value in enumerate(values):
            told.put(stretch * 10 + number, value)
    expected = [plain.step((T0_S + stretch * 10 + 9) * S, sum(values) / 10) for stretch in range(59)]

    assert [one.value for one in told.scores] == [round(each, 2) for each in expected if not math.isnan(each)]


@pytest.mark.parametrize(
    ("value", "quality"),
    [
        (math.nan, Quality.GOOD),
        (math.inf, Quality.GOOD),
        (900.0, Quality.BAD_RANGE),
        (None, Quality.BAD_TIMEOUT),
        ("hot", Quality.GOOD),
        (True, Quality.GOOD),
        (10**400, Quality.GOOD),
    ],
)
def test_what_is_no_good_number_teaches_nothing_and_raises_nothing(value: Any, quality: Quality) -> None:
    told = taught()
    before = told.subject.snapshot()

    told.put(500 * 60, value, quality)

    assert told.subject.snapshot() == before
    assert told.alerts == []


def test_a_bad_reading_neither_clears_nor_counts_as_quiet() -> None:
    told = taught(off_delay_ns=300 * S)
    told.put(500 * 60, 75.0)

    at_s = until_quiet(told, 500.0 * 60)
    told.put(at_s + 60, None, Quality.BAD_TIMEOUT)

    assert told.subject.due_at_s == NEVER_S
    assert told.states == ["raised"]


def test_an_alert_is_cleared_although_no_further_reading_comes() -> None:
    told = taught(off_delay_ns=300 * S)
    told.put(500 * 60, 75.0)
    at_s = until_quiet(told, 500.0 * 60)

    told.tick(at_s + 299)
    assert told.states == ["raised"]
    told.tick(at_s + 300)

    assert told.states == ["raised", "cleared"]
    assert told.subject.due_at_s == NEVER_S


def test_late_and_repeated_readings_are_passed_over_and_counted() -> None:
    told = taught()
    before = told.subject.snapshot()

    told.put(499 * 60, 200.0)
    told.put(498 * 60, 200.0)
    told.put(499 * 60, 200.0)

    assert told.subject.snapshot() == before
    assert told.stats.anomaly_late == 3


def test_a_clock_that_was_set_back_is_followed_after_three_readings() -> None:
    told = taught()
    scored = len(told.scores)

    for number in range(5):
        told.put(number * 60 - 7_000, 60.0)

    assert told.stats.anomaly_late == 2
    assert len(told.scores) == scored + 3
    assert told.scores[-1].at_ns == (T0_S + 4 * 60 - 7_000) * S


def test_a_restart_goes_on_where_it_ended() -> None:
    whole, first, second = (Learner(every_ns=10 * S) for _ in range(3))
    readings = noise(600, every_s=11.0)

    for at_s, value in readings:
        whole.put(at_s, value)
    for at_s, value in readings[:300]:
        first.put(at_s, value)
    second.subject.learned(json.loads(json.dumps(first.subject.snapshot())))
    assert not second.subject.learning
    for at_s, value in readings[300:]:
        second.put(at_s, value)

    known = {one.at_ns: one.value for one in whole.scores}
    assert len(second.scores) >= 299
    assert all(known[one.at_ns] == one.value for one in second.scores)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"every_ns": 5}, "it was learned with every_ms"),
        ({"detector": None}, "damaged"),
        ({"detector": {"version": 99}}, "version 99"),
        ({"learned_ns": "x"}, "invalid literal"),
        ({"judged_ns": None}, "damaged"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(change: dict[str, Any], complaint: str) -> None:
    snapshot = taught().subject.snapshot() | change
    told = Learner()
    before = told.subject.snapshot()

    with pytest.raises(ValueError, match=complaint):
        told.subject.learned(snapshot)

    assert told.subject.snapshot() == before


def test_an_alert_from_before_a_restart_is_cleared_by_who_comes_after() -> None:
    before = taught(off_delay_ns=120 * S)
    before.put(500 * 60, 75.0)
    after = Learner(off_delay_ns=120 * S)

    after.subject.learned(before.subject.snapshot())
    after.subject.restore({alert.fingerprint: alert for alert in before.alerts})
    for number in range(501, 540):
        after.put(number * 60, 60.0)

    assert after.states == ["cleared"]
    assert after.alerts[0].id == before.alerts[0].id


def test_two_raisings_never_share_an_id() -> None:
    told = taught(off_delay_ns=0)
    for value in (120.0, 1e6):
        for number in range(-3, 0):  # the second time, the clock goes back to where it was
            told.put((500 + number) * 60, 60.0)
        told.put(500 * 60, value)
        for number in range(1, 100):
            told.put((600 + number) * 60, 60.0)

    first, second = (alert for alert in told.alerts if alert.state is AlertState.RAISED)
    assert first.id != second.id
    assert second.raised_at_ns == first.raised_at_ns + 1


def test_a_machine_that_stands_is_not_learned_and_raises_nothing() -> None:
    running = Running(settle_ns=600 * S)
    told = taught(running=running)
    assert told.scores == []  # nobody has said that it runs

    running.see(Reading("on", T0_S * S, True))
    told = Learner(running=running)
    for at_s, value in noise(500):
        told.put(at_s, value)
    before = told.subject.snapshot()
    running.see(Reading("on", (T0_S + 500 * 60) * S, 0))
    told.put(500 * 60, 0.0)
    running.see(Reading("on", (T0_S + 510 * 60) * S, 1))
    running.see(Reading("on", (T0_S + 511 * 60) * S, None, Quality.BAD_TIMEOUT))
    told.put(519 * 60, 20.0)

    assert told.subject.snapshot() == before
    told.put(520 * 60, 75.0)
    assert told.states == ["raised"]


def test_a_clock_set_back_begins_the_settling_anew() -> None:
    running = Running(settle_ns=600 * S)
    running.see(Reading("on", 10_000 * S, 1))
    running.see(Reading("on", 5_000 * S, 1))

    assert not running.settled(5_599 * S)
    assert running.settled(5_600 * S)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-10, 40),
            st.one_of(st.floats(), st.integers(), st.none(), st.booleans(), st.text(max_size=3)),
            st.sampled_from([Quality.GOOD, Quality.UNCERTAIN_CLOCK, Quality.BAD_RANGE]),
        ),
        max_size=150,
    ),
    st.sampled_from([0, 10 * S]),
)
def test_nothing_that_may_come_in_does_harm(readings: list[tuple[int, Any, Quality]], every_ns: int) -> None:
    told = Learner(every_ns=every_ns, off_delay_ns=30 * S, threshold=0.5)
    at_s = 0.0
    for gap_s, value, quality in readings:
        at_s += gap_s
        told.put(at_s, value, quality)
        told.tick(at_s)

    assert told.states == ["raised", "cleared"] * (len(told.states) // 2) + ["raised"] * (len(told.states) % 2)
    assert all(isinstance(one.value, float) and math.isfinite(one.value) for one in told.scores)
    again = Unusual(told.spec, stats=told.stats)
    again.learned(json.loads(json.dumps(told.subject.snapshot())))
    assert again.snapshot() == told.subject.snapshot()
