"""Factors are judged pair by pair, and a peer that is missing is never beaten."""

from collections.abc import Iterator

import pytest

from benchmarks.contest import Absent, Contest, Goal, more_is_better


def contest(ours: list[float], peer: list[float]) -> Contest:
    def in_turn(values: Iterator[float]) -> dict[str, float]:
        return {"rate": next(values)}

    own, other = iter(ours), iter(peer)
    return Contest.of(len(ours), lambda: in_turn(own), {"peer": lambda: in_turn(other)})


def without_the_peer() -> Contest:
    def missing() -> dict[str, float]:
        raise Absent("not installed")

    return Contest.of(2, lambda: {"rate": 10.0}, {"peer": missing})


def test_the_ratio_is_the_median_of_the_pairs_and_not_that_of_the_medians() -> None:
    drifting = contest([100, 20, 300], [50, 10, 100])

    row = more_is_better("rate", "1/s", drifting, "rate", Goal("peer", "rate", 2))

    assert row["ratios"] == {"peer": 2.0}
    assert row["ours"] == 100
    assert row["peers"] == {"peer": 50}
    assert row["goal"] == ">= 2 x peer"
    assert row["met"] is True


@pytest.mark.parametrize(("at_least", "met"), [(100, True), (101, False)])
def test_a_fixed_bound_counts_beside_the_factors(at_least: float, met: bool) -> None:
    row = more_is_better("rate", "1/s", contest([100], [50]), "rate", Goal("peer", "rate", 2), at_least=at_least)

    assert row["met"] is met


def test_an_absent_peer_with_a_factor_leaves_the_goal_unjudged_and_says_why() -> None:
    row = more_is_better("rate", "1/s", without_the_peer(), "rate", Goal("peer", "rate", 2), at_least=1)

    assert row["met"] is None
    assert row["peers"] == {}
    assert row["absent"] == {"peer": "not installed"}


def test_an_absent_peer_does_not_hide_a_missed_bound() -> None:
    row = more_is_better("rate", "1/s", without_the_peer(), "rate", Goal("peer", "rate", 2), at_least=11)

    assert row["met"] is False


def test_an_absent_peer_that_is_only_shown_judges_nothing() -> None:
    row = more_is_better("rate", "1/s", without_the_peer(), "rate", Goal("peer", "rate"), at_least=1)

    assert row["met"] is True


def test_ours_may_not_fail() -> None:
    def broken() -> dict[str, float]:
        raise RuntimeError("a message was lost")

    with pytest.raises(RuntimeError, match="lost"):
        Contest.of(1, broken)
