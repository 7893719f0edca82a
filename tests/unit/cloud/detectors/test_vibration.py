"""The zones of ISO 20816-3, and how a value moves between them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.model import Severity
from fieldline_cloud.detectors.vibration import (
    BOUNDARIES,
    Foundation,
    MachineGroup,
    Vibration,
    VibrationSettings,
    Zone,
    ZoneLimits,
    mm_per_s,
    severity_of,
)


def judge(*values: float, machine: VibrationSettings | None = None) -> tuple[list[float], Zone | None]:
    watch = Vibration(machine)
    return watch.update(np.arange(len(values)), values).tolist(), watch.zone


@pytest.mark.parametrize(
    ("value", "zone", "severity"),
    [
        (0.5, Zone.A, None),
        (2.0, Zone.B, None),
        (2.8, Zone.B, Severity.WARNING),
        (3.0, Zone.C, Severity.WARNING),
        (4.6, Zone.D, Severity.CRITICAL),
        (50.0, Zone.D, Severity.CRITICAL),
    ],
)
def test_a_medium_machine_on_concrete_is_judged_by_its_table(
    value: float, zone: Zone, severity: Severity | None
) -> None:
    (score,), found = judge(value)

    assert found is zone
    assert severity_of(score) is severity


@pytest.mark.parametrize(("kind", "limits"), BOUNDARIES.items())
def test_scores_are_the_same_at_the_boundaries_of_every_table(
    kind: tuple[MachineGroup, Foundation], limits: ZoneLimits
) -> None:
    scores, _ = judge(*limits.rising, 2 * limits.c_d_mm_per_s, machine=VibrationSettings(*kind))

    assert scores == pytest.approx([0.5, 1.0, 2.0, 4.0])


def test_large_and_soft_mounted_machines_may_shake_more() -> None:
    order = [BOUNDARIES[group, foundation].rising for group in reversed(MachineGroup) for foundation in Foundation]

    assert order[0] < order[1] == order[2] < order[3]


def test_a_zone_is_left_downwards_only_with_room_to_spare() -> None:
    assert judge(3.0, 2.7)[1] is Zone.C
    assert judge(3.0, 2.7, 2.5)[1] is Zone.B
    assert judge(3.0, 0.2)[1] is Zone.A


def test_limits_of_the_maker_stand_in_for_the_table() -> None:
    scores, zone = judge(1.0, machine=VibrationSettings(limits=ZoneLimits(0.2, 0.5, 0.8)))

    assert zone is Zone.D
    assert scores == [2.5]


def test_values_in_inches_are_judged_in_millimetres() -> None:
    scores, _ = judge(2.8 / 25.4, machine=VibrationSettings(unit="in/s"))

    assert scores == pytest.approx([1.0])
    assert Vibration(VibrationSettings(unit="in/s")).expected()[1] == pytest.approx(2.8 / 25.4)


def test_an_acceleration_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"'g' is no unit of velocity.*waveform\.velocity"):
        VibrationSettings(unit="g")
    assert mm_per_s(" m/s") == 1000.0


def test_boundaries_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="do not rise"):
        ZoneLimits(2.0, 1.0, 3.0)


def test_a_snapshot_that_is_none_is_refused() -> None:
    for broken in ({}, {"version": 1, "zone": 7}, {"version": 2, "zone": 1}):
        with pytest.raises(ValueError, match="no snapshot"):
            Vibration().restore(broken)


def test_what_cannot_be_a_velocity_has_no_score_and_no_zone() -> None:
    scores, zone = judge(math.nan, -1.0, math.inf)

    assert np.isnan(scores).all()
    assert zone is None


@settings(max_examples=30)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30), st.integers(0, 30))
def test_any_split_into_batches_gives_the_same_and_so_does_a_restored_detector(values: list[float], cut: int) -> None:
    whole = Vibration()
    expected = whole.update(np.arange(len(values)), np.array(values))
    first, second = Vibration(), Vibration()

    head = first.update(np.arange(len(values[:cut])), np.array(values[:cut]))
    second.restore(first.snapshot())
    tail = second.update(np.arange(len(values[cut:])), np.array(values[cut:]))

    np.testing.assert_array_equal(np.concatenate((head, tail)), expected)
    assert second.zone is whole.zone
