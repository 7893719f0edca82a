"""Faults as a truth file tells them."""

from fieldline_cloud.demo.truth import TrueFault, faults_in

WEAR = (
    '{"event": "start", "kind": "bearing_wear", "area": "hall-a", "machine": "pump-2", "at_s": 10.0, "at_ms": 500000,'
    ' "failure_s": 70.0}'
)


def test_only_beginnings_of_faults_are_faults_and_the_failure_counts_from_there() -> None:
    stop = '{"event": "stop", "kind": "bearing_wear", "area": "hall-a", "machine": "pump-2", "at_s": 20}'

    assert faults_in([WEAR, stop]) == [
        TrueFault("bearing_wear", "hall-a/pump-2", began_ns=500 * 10**9, failure_ns=560 * 10**9)
    ]


def test_a_fault_that_does_not_fail_has_no_failure() -> None:
    (fault,) = faults_in([WEAR.replace("70.0", "null")])

    assert fault.failure_ns is None


def test_a_line_that_is_only_half_written_is_left_for_later() -> None:
    assert faults_in([WEAR[:40]]) == []
