"""Alerts against a truth made by hand."""

import math
from dataclasses import replace

import pytest

from benchmarks.plant.scoring import Raised, Score, judge, quantile, summed
from fieldline_edge.drivers.simulator.truth import FaultTruth, Growth

DAY_S = 86_400.0
WEAR = FaultTruth(
    number=1,
    kind="bearing_wear",
    machine="pump-1",
    area="hall-a",
    start_s=10_000.0,
    start_ms=0,
    grow_s=5_000.0,
    severity=1.0,
    growth=Growth.LINEAR,
    signals=("vibration", "bearing_temperature"),
    failure_s=15_000.0,
    stop_s=20_000.0,
)
MODELS = {"pump-1": "pump", "pump-2": "pump", "meter-1": "meter"}


def raised(at_s: float, machine: str = "pump-1", tag: str = "vibration", rule: str = "hi") -> Raised:
    return Raised(machine, tag, rule, at_s)


def scored(*alerts: Raised, faults: tuple[FaultTruth, ...] = (WEAR,)) -> Score:
    return judge(faults, alerts, models=MODELS, end_s=DAY_S, settle_s=600.0, fed_by={"pump-1": "meter-1"})


def test_a_fault_is_found_by_the_first_alert_on_its_machine() -> None:
    score = scored(raised(12_000.0), raised(11_000.0), raised(10_500.0, machine="pump-2"))

    (outcome,) = score.outcomes
    assert outcome.delay_s == 1_000.0
    assert outcome.growth_share == pytest.approx(0.2)
    assert outcome.severity == pytest.approx(0.2)
    assert outcome.names_signal


@pytest.mark.parametrize("at_s", [9_999.0, 15_000.0])
def test_an_alert_before_the_start_or_at_the_failure_does_not_find_it(at_s: float) -> None:
    (outcome,) = scored(raised(at_s)).outcomes

    assert outcome.found is None
    assert outcome.delay_s == math.inf


def test_a_fault_that_does_not_fail_can_be_found_until_it_is_over() -> None:
    lasting = replace(WEAR, failure_s=None)

    assert scored(raised(19_999.0), faults=(lasting,)).outcomes[0].found is not None
    assert scored(raised(20_000.0), faults=(lasting,)).outcomes[0].found is None


def test_a_fault_for_ever_can_be_found_until_the_run_ends() -> None:
    lasting = replace(WEAR, failure_s=None, stop_s=None)

    score = scored(raised(DAY_S - 1.0), faults=(lasting,))

    assert score.outcomes[0].found is not None
    assert score.false == ()


def test_alerts_on_a_device_without_a_fault_are_false_and_those_on_its_meter_are_consequences() -> None:
    score = scored(raised(12_000.0, machine="pump-2"), raised(12_000.0, machine="meter-1"), raised(5_000.0))

    assert {each.machine for each in score.false} == {"pump-1", "pump-2"}
    assert [each.machine for each in score.consequences] == ["meter-1"]
    assert score.device_days == 3.0
    assert score.false_per_device_day == pytest.approx(2 / 3)


def test_a_machine_may_be_told_of_for_a_while_after_its_fault() -> None:
    score = scored(raised(20_599.0), raised(20_600.0))

    assert [each.at_s for each in score.false] == [20_600.0]


def test_an_alarm_that_is_raised_again_within_a_fault_repeats_itself() -> None:
    score = scored(raised(11_000.0), raised(12_000.0), raised(13_000.0), raised(13_000.0, tag="bearing_temperature"))

    assert score.outcomes[0].alerts == 4
    assert score.repeats == 2


def test_an_alert_within_two_faults_belongs_to_the_later_one() -> None:
    later = replace(WEAR, number=2, start_s=20_100.0, failure_s=None, stop_s=30_000.0)

    score = scored(raised(20_200.0), faults=(WEAR, later))

    assert [each.alerts for each in score.outcomes] == [0, 1]


def test_a_fault_that_is_there_at_once_has_no_growth_to_share() -> None:
    step = replace(WEAR, growth=Growth.STEP)

    assert scored(raised(12_000.0), faults=(step,)).outcomes[0].growth_share is None


def test_runs_are_summed() -> None:
    both = summed([scored(raised(12_000.0)), scored(raised(5_000.0))])

    assert [each.found is not None for each in both.outcomes] == [True, False]
    assert both.false_per_device_day == pytest.approx(1 / 6)


def test_no_alerts_and_no_faults_are_a_score_of_nothing() -> None:
    assert scored(faults=()).false_per_device_day == 0.0
    assert Score().false_per_device_day == 0.0


def test_quantiles_go_by_the_nearest_rank_and_are_infinite_of_nothing() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, math.inf], 0.9) == math.inf
    assert quantile([], 0.5) == math.inf


def test_wear_of_a_machine_that_stands_still_is_counted_apart() -> None:
    def judged(fault: FaultTruth, *ran_s: float) -> Score:
        return judge([fault], [], models=MODELS, end_s=DAY_S, settle_s=600.0, ran_s={"pump-1": ran_s})

    assert judged(WEAR, 9_000.0, 15_000.0).standing == (WEAR,)
    assert not judged(WEAR, 9_000.0, 15_000.0).outcomes
    assert len(judged(WEAR, 9_000.0, 14_999.0).outcomes) == 1
    assert len(judged(replace(WEAR, kind="noise", failure_s=None)).outcomes) == 1
    assert len(scored().outcomes) == 1
