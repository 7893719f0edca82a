"""The load of operators: the counts of their areas added up, floods by whole periods of ten minutes."""

import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline_cloud.agents.anomaly.alarms.board import AlarmBoard, BoardSpec
from fieldline_cloud.agents.anomaly.alarms.health import health, operator_gauges
from fieldline_cloud.agents.anomaly.alarms.operators import NOBODY, OperatorFigures, OperatorSpec
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.stats import AnomalyStats
from fieldline_cloud.agents.metrics import StatsCollector
from tests.unit.cloud.agents.anomaly.alarms.test_flood import alert, begin
from tests.unit.cloud.agents.doubles import SECOND, T0

TEN = 600
START = T0 // (TEN * SECOND) * TEN * SECOND
DESKS = (OperatorSpec("desk-1", ("demo/hall-a", "demo/hall-b")), OperatorSpec("desk-2", ("+/yard-*", "demo/hall-b")))


def board(*operators: OperatorSpec) -> AlarmBoard:
    return AlarmBoard(BoardSpec(operators=operators), AnomalyStats())


def raise_in(alarms: AlarmBoard, area: str, period: int, count: int) -> None:
    """So many alarms in the middle of a period of ten minutes, none of them a repetition."""
    second = (START - T0) // SECOND + period * TEN + 300
    for number in range(count):
        begin(alarms, alert(1_000 * period + number, second, area=area))


def after(period: int, second: int = 0) -> int:
    return START + (period * TEN + second) * SECOND


def of(alarms: AlarmBoard, name: str, now_ns: int) -> OperatorFigures:
    (found,) = (one for one in health(alarms, now_ns).operators if one.operator == name)
    return found


def test_without_operators_figures_stand_by_area_alone() -> None:
    alarms = board()
    raise_in(alarms, "hall-a", 0, 3)
    found = health(alarms, after(1))
    assert found.operators == ()
    assert [one.area for one in found.areas] == ["demo/hall-a"]


def test_the_areas_of_an_operator_are_added_up() -> None:
    alarms = board(*DESKS)
    raise_in(alarms, "hall-a", 0, 4)
    raise_in(alarms, "hall-b", 0, 3)
    raise_in(alarms, "hall-a", 2, 2)
    raise_in(alarms, "yard-1", 2, 1)
    one, two = (of(alarms, name, after(2, 301)) for name in ("desk-1", "desk-2"))
    assert (one.areas, one.last_10_min, one.peak_10_min) == (("demo/hall-a", "demo/hall-b"), 2, 7)
    assert one.mean_10_min == pytest.approx(9 * 600 / 1_201)
    assert one.by_severity == {"info": 0, "warning": 9, "critical": 0}
    assert (two.areas, two.last_10_min, two.peak_10_min) == (("demo/hall-b", "demo/yard-1"), 1, 3)


def test_two_quiet_areas_can_be_a_flood_for_their_operator() -> None:
    alarms = board(*DESKS)
    raise_in(alarms, "hall-a", 0, 6)
    raise_in(alarms, "hall-b", 0, 6)
    assert not any(one.in_flood for one in alarms.areas())
    assert of(alarms, "desk-1", after(0, 301)).in_flood
    assert not of(alarms, "desk-2", after(0, 301)).in_flood


def test_a_flood_lasts_until_a_period_with_few_alarms_and_its_share_is_of_whole_periods() -> None:
    alarms = board(*DESKS)
    seen = []
    for period, count in enumerate((11, 7, 5, 4, 7, 0, 0, 0)):
        raise_in(alarms, "hall-a", period, count)
        seen.append(of(alarms, "desk-1", after(period + 1)))
    shares = [1.0, 1.0, 1.0, 3 / 4, 3 / 5, 3 / 6, 3 / 7, 3 / 8]
    assert [one.flood_share for one in seen] == pytest.approx(shares)
    assert [one.in_flood for one in seen] == [True, True, True, False, False, False, False, False]


def test_what_is_a_day_old_is_forgotten() -> None:
    alarms = board(*DESKS)
    raise_in(alarms, "hall-a", 0, 12)
    raise_in(alarms, "hall-a", 100, 1)
    assert of(alarms, "desk-1", after(143, 599)).peak_10_min == 12
    later = of(alarms, "desk-1", after(144))
    assert (later.peak_10_min, later.flood_share) == (1, 0.0)
    assert later.mean_10_min == pytest.approx(1 / 143.5)  # known since the middle of the first period


def test_a_plant_without_floods_has_none_for_operators_either() -> None:
    settings = loads(
        "kind: anomaly\nrules: [{stale: {after_s: 9}}]\nalarms:\n  flood: {raisings: 0}\n  operators: {d: [demo/+]}\n",
        AnomalySettings,
        name="a.yaml",
    )
    alarms = AlarmBoard(settings.alarms.build(), AnomalyStats())
    raise_in(alarms, "hall-a", 0, 40)
    found = of(alarms, "d", after(1))
    assert (found.peak_10_min, found.in_flood, found.flood_share) == (40, False, 0.0)


def test_areas_of_nobody_are_shown_and_an_operator_without_alarms_too() -> None:
    alarms = board(*DESKS)
    raise_in(alarms, "cellar", 0, 2)
    found = {one.operator: one for one in health(alarms, after(0, 400)).operators}
    assert list(found) == ["desk-1", "desk-2", NOBODY]
    assert (found["desk-1"].areas, found["desk-1"].mean_10_min, found["desk-1"].in_flood) == ((), 0.0, False)
    assert (found[NOBODY].areas, found[NOBODY].last_10_min) == (("demo/cellar",), 2)
    assert health(alarms, after(1), area="demo/cellar").operators == ()


def test_figures_survive_a_restart() -> None:
    alarms, again = board(*DESKS), board(*DESKS)
    raise_in(alarms, "hall-a", 0, 12)
    for key in sorted(alarms.changed, key=str):
        again.restore(key, alarms.snapshot(key), after(2))
    assert of(again, "desk-1", after(2)) == of(alarms, "desk-1", after(2))


def test_metrics_have_a_value_for_each_operator() -> None:
    alarms = board(*DESKS)
    raise_in(alarms, "hall-b", 0, 12)
    alarms.tick(after(1), live=True)
    registry = CollectorRegistry()
    registry.register(StatsCollector("anomaly", AnomalyStats(), {}, operator_gauges(alarms)))
    page = generate_latest(registry).decode()
    assert 'fieldline_anomaly_operator_alarms_10_min_peak{operator="desk-1"} 12.0' in page
    assert 'fieldline_anomaly_operator_alarms_10_min_peak{operator="desk-2"} 12.0' in page
    assert 'fieldline_anomaly_operator_flood_share{operator="desk-2"} 1.0' in page
    assert not any(read() for read in operator_gauges(board()).values())


def test_the_answer_is_plain_data() -> None:
    alarms = board(*DESKS)
    raise_in(alarms, "hall-a", 0, 1)
    said = json.loads(json.dumps(health(alarms, after(0, 400)).as_json()))
    assert [(one["operator"], one["areas"]) for one in said["operators"]] == [
        ("desk-1", ["demo/hall-a"]),
        ("desk-2", []),
    ]


@pytest.mark.parametrize(
    ("operators", "said"),
    [
        ("{'desk 1': [demo/hall-a]}", "desk 1"),
        ("{desk-1: []}", "at least 1"),
        ("{desk-1: [hall-a]}", "desk-1: 'hall-a' is no area; write site/area, as in demo/hall-* or demo/+"),
        ("{desk-1: [demo/hall-a/pump-1]}", "'demo/hall-a/pump-1' is no area"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_cure(operators: str, said: str) -> None:
    text = f"kind: anomaly\nalarms:\n  operators: {operators}\nrules: [{{stale: {{after_s: 9}}}}]\n"
    with pytest.raises(ConfigError) as caught:
        loads(text, AnomalySettings, name="a.yaml")
    assert said in str(caught.value)
