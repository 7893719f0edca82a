"""The layer as a whole, with detectors known by heart."""

import json
from math import log

import numpy as np
import pytest

from fieldline.model import DeviceId, Quality, Severity, Value
from fieldline.wire.readings import Series
from fieldline_cloud.agents.anomaly.learned.rest import RestSpec
from fieldline_cloud.agents.anomaly.learned.spec import Caution, Treatment
from fieldline_cloud.agents.anomaly.learned.thresholds import Tuned
from tests.unit.cloud.agents.anomaly.learned.standins import Bench
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

FAN = DeviceId("demo", "hall-a", "fan-1")


def learned(**values: float) -> Bench:
    """A bench whose detectors have learned these values."""
    bench = Bench()
    assert bench.repeat(8, **values) == []
    return bench


def test_an_odd_value_becomes_a_finding_with_its_evidence() -> None:
    bench = learned(pressure=4.0)
    bench.say(pressure=6.0)
    (finding,) = bench.say(pressure=6.0)[:1]
    assert (finding.device, finding.tag, finding.rule, finding.cause) == (PUMP, "pressure", "plain", "anomaly")
    assert finding.score == pytest.approx(5.0)
    assert finding.band is not None
    assert (finding.band.low, finding.band.high) == pytest.approx((3.6, 4.4))
    assert finding.message == "pressure is 6 where 3.6 to 4.4 is usual"
    assert [(each.tag, each.share) for each in finding.contributions] == [("pressure", 1.0)]
    assert 0.9 < finding.confidence < 1.0
    assert finding.window is not None
    assert finding.window.to_ns == finding.at_ns


def test_an_episode_ends_when_all_was_quiet_for_the_off_delay() -> None:
    bench = learned(pressure=4.0)
    assert bench.repeat(2, pressure=6.0)
    assert bench.repeat(6, pressure=4.0) == []
    (ended,) = bench.repeat(2, pressure=4.0)
    assert (ended.tag, ended.score) == ("pressure", 0.0)
    assert ended.message == "pressure is as usual again"


def test_tags_of_one_device_speak_in_one_episode() -> None:
    bench = learned(pressure=4.0, flow=10.0)
    first, second = bench.say(pressure=6.0, flow=15.0)[-2:] or bench.say(pressure=6.0, flow=15.0)[-2:]
    assert {(first.tag, first.rule), (second.tag, second.rule)} == {("pressure", "plain")}
    assert {each.tag for each in second.contributions} == {"pressure", "flow"}
    assert sum(each.share for each in second.contributions) == pytest.approx(1.0)
    assert second.message.endswith("; with flow")


def test_devices_do_not_mix() -> None:
    bench = learned(pressure=4.0)
    for _ in range(8):
        bench.now_s += 10
        assert bench.tell(FAN, bench.now_s, {"pressure": 6.0}) == []
    assert bench.layer.devices == 2


@pytest.mark.parametrize("value", ["text", True, None, float("nan"), float("inf")])
def test_what_is_no_number_teaches_nothing(value: Value) -> None:
    bench = Bench()
    for _ in range(20):
        assert bench.say(pressure=value) == []
    assert bench.repeat(8, pressure=4.0) == []
    assert bench.repeat(2, pressure=6.0)


def test_bad_quality_teaches_nothing() -> None:
    bench = learned(pressure=4.0)
    for second in range(100, 200, 10):
        bench.layer.take(PUMP, [Series("pressure", [T0 + second * SECOND], [9.0], [Quality.BAD])])
        assert bench.layer.flush(T0) == []
    assert bench.stats.learned_readings_not_good == 10


def test_a_stopped_device_is_neither_judged_nor_learned() -> None:
    bench = Bench(rest=RestSpec(settle_ns=30 * SECOND))
    bench.repeat(8, running=True, pressure=4.0)
    assert bench.repeat(10, running=False, pressure=0.0) == []
    assert bench.repeat(2, running=True, pressure=1.0) == []  # it settles
    assert bench.repeat(3, running=True, pressure=4.0) == []
    assert bench.stats.learned_readings_paused >= 20


def test_shadow_counts_and_says_nothing() -> None:
    bench = Bench(entries={"pressure": {"shadow": True}})
    bench.repeat(8, pressure=4.0)
    assert bench.repeat(4, pressure=6.0) == []
    assert bench.stats.learned_shadow_alerts == 1
    assert bench.layer.shadowed.raised["plain"] == 1


def test_a_tag_left_out_is_not_learned() -> None:
    bench = Bench(entries={"set*": {"treatment": Treatment.NOTHING}})
    bench.repeat(8, setpoint=4.0)
    assert bench.layer.series == 0
    assert bench.stats.learned_tags_left_out == 1


def test_whole_numbers_of_few_values_are_a_code_and_left_out() -> None:
    bench = Bench()
    for number in range(220):
        bench.say(step=number % 3)
    assert bench.stats.learned_codes_found == 1
    assert bench.layer.series == 0
    assert bench.say(step=99) == []


def test_a_counter_is_learned_by_its_growth() -> None:
    bench = Bench()
    for number in range(260):
        bench.say(odometer=1_000.0 + 3.0 * number)
    assert bench.stats.learned_counters_found == 1
    for number in range(260, 280):
        assert bench.say(odometer=1_000.0 + 3.0 * number) == []
    assert [bench.say(odometer=1_840.0 + 20.0 * number) for number in range(5)][-1] != []


def test_settings_of_a_tag_reach_its_findings() -> None:
    bench = Bench(entries={"pressure": {"cause": "leak", "severity": Severity.CRITICAL, "threshold": 4.0}})
    bench.repeat(8, pressure=4.0)
    assert bench.repeat(3, pressure=5.0) == []
    finding = bench.repeat(2, pressure=6.0)[-1]
    assert (finding.cause, finding.severity) == ("leak", Severity.CRITICAL)
    assert finding.score == pytest.approx(1.25)


def test_an_on_delay_waits() -> None:
    bench = Bench(entries={"pressure": {"on_delay_ns": 30 * SECOND}})
    bench.repeat(8, pressure=4.0)
    assert bench.repeat(2, pressure=6.0) == []
    assert bench.repeat(4, pressure=6.0)


def test_the_young_need_a_higher_score() -> None:
    bench = Bench(caution=Caution(extra=6.0))
    bench.repeat(8, pressure=4.0)
    assert bench.repeat(3, pressure=6.0) == []


def test_a_change_of_unit_is_called_one_and_learned_anew() -> None:
    bench = Bench()
    rng = np.random.default_rng(1)
    for noise in rng.normal(0.0, 0.01, 60).tolist():
        bench.say(pressure=4.0 + noise)
    said = [finding for noise in rng.normal(0.0, 10.0, 20).tolist() for finding in bench.say(pressure=4_000.0 + noise)]
    assert {(finding.rule, finding.cause) for finding in said} == {("unit", "unit_change")}
    assert said[0].message.startswith("pressure looks like a change of unit (x to 1000 x): ")
    assert bench.stats.learned_units_changed == 1


def test_a_machine_that_starts_has_changed_no_unit() -> None:
    bench = Bench()
    for number in range(60):
        wave = 0.01 * (number % 3)
        bench.say(pressure=4.0 + wave, flow=10.0 + wave, temperature=30.0 + wave)

    said = [finding for _ in range(10) for finding in bench.say(pressure=40.0, flow=25.0, temperature=30.0)]

    assert {finding.rule for finding in said} == {"plain"}
    assert bench.stats.learned_units_changed == 0


def test_a_machine_at_rest_is_judged_as_another_machine() -> None:
    bench = Bench(joint=True, entries={"*": {"detectors": ()}}, rest=RestSpec(settle_ns=60 * SECOND))
    bench.repeat(12, running=True, flow=10.0, temperature=50.0)
    assert bench.repeat(24, running=False, flow=0.0, temperature=20.0) == []

    said = bench.repeat(14, running=False, flow=0.0, temperature=30.0)

    assert {(finding.tag, finding.rule) for finding in said} == {("temperature", "joint")}
    assert said[0].score == pytest.approx(0.5 * 5.0)


def test_what_is_known_of_a_machine_at_rest_goes_on_elsewhere() -> None:
    one, other = (
        Bench(joint=True, entries={"*": {"detectors": ()}}, rest=RestSpec(settle_ns=60 * SECOND)) for _ in range(2)
    )
    one.repeat(2, running=True, flow=10.0, temperature=50.0)
    one.repeat(30, running=False, flow=0.0, temperature=20.0)
    other.layer.restore(PUMP, json.loads(json.dumps(one.layer.snapshot(PUMP))))
    other.now_s = one.now_s

    said = [bench.repeat(14, running=False, flow=0.0, temperature=30.0) for bench in (one, other)]

    assert said[0] == said[1] != []
    assert one.layer.relearn(PUMP)
    assert one.repeat(30, running=False, flow=0.0, temperature=40.0)[-1].score == 0.0  # only that it is over


def test_a_jump_that_does_not_stay_is_told_as_what_it_is() -> None:
    bench = Bench()
    for number in range(60):
        bench.say(pressure=4.0 + 0.01 * (number % 3))
    said = [*bench.repeat(3, pressure=4_000.0), *bench.repeat(3, pressure=9.0)]
    assert {finding.rule for finding in said} == {"plain"}


def test_a_stuck_sensor_is_told_as_one() -> None:
    bench = Bench()
    for number in range(600):
        bench.say(temperature=50.0 + 0.1 * (number % 7))
    said = bench.repeat(40, temperature=50.35)
    assert {(finding.rule, finding.cause, finding.tag) for finding in said} == {
        ("stuck", "sensor_fault", "temperature")
    }


def test_tags_that_belong_together_are_judged_as_one_row() -> None:
    bench = Bench(joint=True, entries={"*": {"detectors": ()}})
    bench.repeat(15, flow=10.0, power=5.0)
    said = bench.repeat(14, flow=16.0, power=5.0)
    assert {(finding.tag, finding.rule) for finding in said} == {("flow", "joint")}
    assert bench.stats.learned_rows_judged >= 12


def test_a_repaired_device_is_learned_anew() -> None:
    bench = learned(pressure=4.0)
    assert bench.layer.relearn(PUMP)
    assert not bench.layer.relearn(FAN)
    assert not bench.layer.relearn(PUMP, "flow")
    assert bench.repeat(8, pressure=6.0) == []


def test_tags_past_the_bound_are_refused_and_counted() -> None:
    bench = Bench(tags_max=3)
    for number in range(50):
        bench.tell(PUMP, 10 * number, {f"tag{number}": 1.0})
    assert bench.layer.series == 3
    assert bench.stats.learned_tags_refused == 47


def test_a_tag_that_comes_and_goes_and_late_and_repeated_readings_do_no_harm() -> None:
    bench = learned(pressure=4.0)
    assert bench.say(pressure=4.0, ghost=1.0) == []
    assert bench.tell(PUMP, 20, {"pressure": 99.0}) == []
    assert bench.tell(PUMP, bench.now_s, {"pressure": 4.0}) == []
    assert bench.repeat(3, pressure=4.0) == []


def test_a_device_goes_on_elsewhere_where_it_was_left() -> None:
    one, other = Bench(joint=True), Bench(joint=True)
    one.repeat(15, pressure=4.0, flow=10.0)
    one.repeat(3, pressure=6.0, flow=10.0)
    other.layer.restore(PUMP, json.loads(json.dumps(one.layer.snapshot(PUMP))))
    other.now_s = one.now_s
    for _ in range(12):
        assert one.say(pressure=4.0, flow=10.0) == other.say(pressure=4.0, flow=10.0)
    assert one.layer.snapshot(PUMP) == other.layer.snapshot(PUMP)


def test_a_damaged_snapshot_leaves_the_device_unknown() -> None:
    bench = learned(pressure=4.0)
    snapshot = bench.layer.snapshot(PUMP)
    del snapshot["tracks"]["pressure"]["level"]
    with pytest.raises(KeyError):
        bench.layer.restore(PUMP, snapshot)
    assert not bench.layer.knows(PUMP)
    assert bench.layer.series == 0
    assert bench.repeat(8, pressure=6.0) == []


def test_a_verdict_makes_the_next_one_need_more() -> None:
    bench = learned(pressure=4.0)
    finding = bench.repeat(2, pressure=6.0)[-1]
    twice = Tuned(f"{PUMP}:pressure:plain", log(2.0), T0 + 10_000 * SECOND)
    bench.thresholds.restore([twice], [])
    again = bench.say(pressure=6.0)[-1]
    assert again.score == pytest.approx(finding.score / 2.0)
