"""Vibration zones are limits that follow from what a machine is."""

import pytest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.rule_settings import RuleSettings
from fieldline_cloud.agents.anomaly.rules.limits import Range
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.zone_settings import ZoneSettings


def limits_of(rule: RuleSettings) -> Range:
    found = rule.build().rules.range
    assert found is not None
    return found


def test_a_medium_machine_on_concrete_warns_in_zone_c_and_is_critical_in_zone_d() -> None:
    levels = limits_of(RuleSettings(zones=ZoneSettings(), cause="bearing_wear")).levels

    assert [(level.limit, level.severity) for level in levels] == [(2.8, Severity.WARNING), (4.5, Severity.CRITICAL)]


def test_a_large_machine_on_springs_may_shake_more() -> None:
    levels = limits_of(RuleSettings(zones=ZoneSettings(group="large", foundation="flexible"))).levels

    assert [level.limit for level in levels] == [7.1, 11.0]


def test_limits_are_in_the_unit_of_the_tag() -> None:
    limits = limits_of(RuleSettings(zones=ZoneSettings(), unit="in/s"))

    assert limits.levels[0].limit == pytest.approx(2.8 / 25.4)
    assert limits.deadband == pytest.approx(0.28 / 25.4)


def test_the_makers_limits_stand_in_for_the_table() -> None:
    levels = limits_of(RuleSettings(zones=ZoneSettings(limits_mm_per_s=[1.0, 2.0, 3.0]))).levels

    assert [level.limit for level in levels] == [2.0, 3.0]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{match: {tag: v}, zones: {}, unit: g}", "is no unit of velocity"),
        ("{match: {tag: v}, zones: {limits_mm_per_s: [3, 2, 1]}}", "do not rise"),
        ("{match: {tag: v}, zones: {}, range: {hi: 5}}", "keep one of the two"),
        ("{match: {tag: v}, zones: {foundation: sand}}", "rigid"),
    ],
)
def test_zones_that_cannot_be_meant_are_refused_at_their_place(entry: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loads(f"kind: anomaly\nrules:\n  - {entry}\n", AnomalySettings, name="anomaly.yaml")
