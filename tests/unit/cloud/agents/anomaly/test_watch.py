"""Rules and learned detectors behind one door, with the detectors as they are shipped."""

import json
from typing import Any

import numpy as np
import pytest

from fieldline.config import loads
from fieldline.model import Alert, AlertState, Quality, Reading, Verdict, VerdictKind
from fieldline.wire.readings import decode_series, encode_readings
from fieldline_cloud.agents.anomaly.learned.blobs import from_blob, to_blob
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.watch import LearnedState, Watch
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

MINUTE = 60
RAISED, CLEARED = AlertState.RAISED, AlertState.CLEARED


def settings(**learn: Any) -> AnomalySettings:
    text = json.dumps({"kind": "anomaly", "rules": [{"match": {"tag": "limited"}, "range": {"hi": 5}}], "learn": learn})
    return loads(text, AnomalySettings, name="a.yaml")


class Plant:
    """A pump whose pressure follows its flow, told once a minute."""

    def __init__(self, watch: Watch, seed: int = 1) -> None:
        self.watch = watch
        self.minute = 0
        self.random = np.random.default_rng(seed)

    def run(self, minutes: int, **odd: float) -> list[Alert]:
        """Some minutes with these tags away from where they would be by so much."""
        alerts: list[Alert] = []
        for _ in range(minutes):
            alerts += self.say(self.values(odd))
        return alerts + self.watch.flush(self.now_ns)

    @property
    def now_ns(self) -> int:
        return T0 + self.minute * MINUTE * SECOND

    def values(self, odd: dict[str, float]) -> dict[str, float]:
        flow = 10.0 + float(np.sin(self.minute / 7.0)) + self.random.normal(0.0, 0.05)
        values = {"flow": flow, "pressure": 4.0 - 0.1 * flow + self.random.normal(0.0, 0.01)}
        return {tag: value + odd.get(tag, 0.0) for tag, value in values.items()}

    def say(self, values: dict[str, Any], quality: Quality = Quality.GOOD) -> list[Alert]:
        self.minute += 1
        readings = [Reading(tag, self.now_ns, value, quality) for tag, value in values.items()]
        return [*self.watch.readings(PUMP, readings, self.now_ns), *self.watch.tick(self.now_ns)]


@pytest.fixture
def plant() -> Plant:
    """A plant that has been watched for ten hours, and nothing was said."""
    made = Plant(Watch(settings(caution=0)))
    assert made.run(600) == []
    return made


def test_a_fault_becomes_one_alert_of_the_device(plant: Plant) -> None:
    alerts = plant.run(30, pressure=1.0)
    (raised,) = [alert for alert in alerts if alert.state is RAISED]
    assert raised.device == PUMP
    assert raised.cause == "anomaly"
    assert raised.rule in ("surprise", "joint")
    assert 0.0 < raised.confidence <= 1.0
    assert raised.contributions[0].tag in ("pressure", "flow")
    assert raised.window is not None


def test_the_alert_clears_when_the_fault_is_gone(plant: Plant) -> None:
    plant.run(10, pressure=1.0)
    alerts = plant.run(240)
    assert [alert.state for alert in alerts] == [CLEARED]


def test_a_rule_speaks_at_once_and_beside_it() -> None:
    plant = Plant(Watch(settings()))
    (alert,) = plant.say({"limited": 6.0})
    assert alert.rule == "range_hi"


def test_frames_in_columns_say_what_readings_say() -> None:
    by_readings, by_columns = Watch(settings()), Watch(settings())
    readings = [Reading("limited", T0 + second * SECOND, float(second)) for second in range(10)]
    expected = by_readings.readings(PUMP, readings, T0)
    found = by_columns.frame(PUMP, decode_series(encode_readings(readings)), T0)
    assert found == expected != []


def test_a_false_alarm_makes_the_next_one_need_more(plant: Plant) -> None:
    raised = plant.run(10, pressure=1.0)[0]
    verdict = Verdict(PUMP, raised.id, raised.fingerprint, VerdictKind.FALSE_ALARM, "Amira", plant.now_ns)
    outcome = plant.watch.verdict(verdict, plant.now_ns)
    again = plant.watch.verdict(verdict, plant.now_ns)
    assert (outcome.refusal, round(outcome.after, 2)) == (None, 1.25)
    assert again.after == outcome.after
    assert plant.watch.tally.raised[raised.rule] == 1
    assert plant.watch.tally.precision(raised.rule) == (0, 1)


def test_a_verdict_does_not_touch_a_limit() -> None:
    plant = Plant(Watch(settings()))
    (alert,) = plant.say({"limited": 6.0})
    verdict = Verdict(PUMP, alert.id, alert.fingerprint, VerdictKind.FALSE_ALARM, "Amira", plant.now_ns)
    assert plant.watch.verdict(verdict, plant.now_ns).refusal is not None
    plant.say({"limited": 1.0})
    assert [each.rule for each in plant.say({"limited": 6.0})] == ["range_hi"]


def test_what_was_learned_goes_on_in_the_next_run(plant: Plant) -> None:
    raised = plant.run(10, pressure=1.0)[0]
    states = [LearnedState(each.device, from_blob(to_blob(each.snapshot))) for each in plant.watch.take_learned(1.0)]
    tags = plant.watch.monitor.take_changes()
    other = Watch(settings(caution=0))
    other.monitor.restore(tags, [], plant.now_ns)
    assert other.restore(states, *plant.watch.thresholds.take_changes()) == 0
    assert other.reconcile(plant.now_ns) == []
    plant.watch = other
    alerts = plant.run(240)
    assert [(alert.state, alert.id) for alert in alerts] == [(CLEARED, raised.id)]


def test_an_alarm_whose_learning_was_lost_is_cleared(plant: Plant) -> None:
    raised = plant.run(10, pressure=1.0)[0]
    other = Watch(settings())
    other.monitor.restore(plant.watch.monitor.take_changes(), [], plant.now_ns)
    other.restore([LearnedState(PUMP, {"no": "snapshot"})], [], [])
    (alert,) = other.reconcile(plant.now_ns)
    assert (alert.state, alert.id) == (CLEARED, raised.id)
    assert other.learn_stats.learned_states_refused == 1


def test_bad_input_raises_nothing_and_stops_nothing(plant: Plant) -> None:
    odd = [float("nan"), float("inf"), -1e308, 10**400, None, "text", True, 0]
    for value in odd:
        plant.say({"pressure": value, "flow": value, f"ghost{value!s:.5}": value}, Quality.BAD)
    plant.minute -= 300  # the clock is set back
    assert plant.run(60) == []
    plant.minute += 10_000
    assert plant.run(60) == []


def test_nothing_is_learned_when_it_is_switched_off() -> None:
    plant = Plant(Watch(settings(enabled=False)))
    assert plant.run(60) == []
    assert plant.run(60, pressure=100.0) == []
    assert plant.watch.take_learned(1.0) == []
