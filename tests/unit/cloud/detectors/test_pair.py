"""Two detectors as one."""

import json

import numpy as np
import pytest

from fieldline_cloud.detectors.duty import Duty
from fieldline_cloud.detectors.joint import Joint
from fieldline_cloud.detectors.pair import JOINT_COUNTS, Pair
from tests.unit.cloud.detectors.test_duty import NAMES, machine, times


def test_where_the_duty_is_known_it_alone_judges() -> None:
    rows, at = machine(800), times(800)
    rows[600:, 1] += 3.0

    scores = Pair(NAMES).update(at, rows)

    duty = Duty(NAMES).update(at, rows)
    known = np.isfinite(duty)
    assert known[600:].any()
    np.testing.assert_array_equal(scores[known], duty[known])


def test_where_the_duty_is_not_known_the_joint_detector_counts_by_half() -> None:
    rows, at = machine(800), times(800)
    rows[600:] += [3.0, 3.0, 0.0]

    scores = Pair(NAMES).update(at, rows)

    joint, duty = Joint(NAMES).update(at, rows), Duty(NAMES).update(at, rows)
    unknown = np.isnan(duty)
    np.testing.assert_array_equal(scores[unknown], JOINT_COUNTS * joint[unknown])


def test_who_is_more_alarmed_explains() -> None:
    pair = Pair(NAMES)
    rows = machine(1_000)
    rows[900:, 1] += 3.0

    pair.update(times(1_000), rows)

    assert pair.contributions()[0][0] == "vibration"
    assert pair.expected()[1][1] < rows[-1, 1]


def test_a_restored_pair_goes_on_as_if_nothing_had_happened() -> None:
    pair, other = Pair(NAMES), Pair(NAMES)
    rows, at = machine(900), times(900)
    pair.update(at[:600], rows[:600])

    other.restore(json.loads(json.dumps(pair.snapshot())))

    np.testing.assert_array_equal(other.update(at[600:], rows[600:]), pair.update(at[600:], rows[600:]))


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        Pair(NAMES).restore({"joint": {}})
