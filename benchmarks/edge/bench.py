"""Rows of the edge bench, in groups that can be run alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contest import Contest, Goal
from benchmarks.edge import growth, outage, readings, transactions
from benchmarks.edge.footprint import footprint, resident
from benchmarks.edge.peers import thingsboard
from benchmarks.harness import at_least, at_most, row

__all__ = ["GROUPS", "run"]

Rows = list[dict[str, Any]]

_100 = "100 devices x 50 registers at 1 Hz"


def run(*, quick: bool, data: Path | None, only: list[str] | None = None) -> Rows:
    """The rows of the groups wanted, all of them without `only`; `data` is not needed here."""
    return [row for group in only or GROUPS for row in GROUPS[group](quick)]


def _one(quick: bool) -> Rows:
    seconds = 10.0 if quick else 60.0
    return [
        at_most("1 device x 50 registers at 1 Hz: RSS", "MiB", resident(1, seconds), 55),
        at_most(
            "1 device x 50 registers at 1 Hz: RSS with a page of metrics", "MiB", footprint(1, seconds)["rss_mib"], None
        ),
    ]


def _hundred(quick: bool) -> Rows:
    """Ours and the peer in turn: what is compared has run within the same minute."""
    seconds, runs = (10.0, 1) if quick else (30.0, 3)
    contest = Contest.of(
        runs,
        lambda: {**footprint(100, seconds), "resident_mib": resident(100, 5.0)},
        {"ThingsBoard gateway": lambda: thingsboard.footprint(100, seconds)},
    )
    return [
        _less(f"{_100}: CPU", "% of a core", contest, "cpu_percent", 0.25),
        _less(f"{_100}: RSS", "MiB", contest, "resident_mib", 0.8),
        at_most(f"{_100}: RSS with a page of metrics", "MiB", contest.middle("rss_mib"), None),
        at_least(f"{_100}: readings at the hub", "readings/s", contest.middle("readings_s"), 4_900, _peer(contest)),
        at_most(f"{_100}: late, failed or missed polls", "polls", contest.middle("late"), 0),
        at_most(f"{_100}: frames on the wire", "B/reading", contest.middle("wire_bytes"), None),
        at_most(f"{_100}: written to flash", "B/reading", contest.middle("disk_bytes"), None),
    ]


def _peer(contest: Contest) -> dict[str, float]:
    return {goal.peer: contest.middle(goal.measure, goal.peer) for goal in contest.present(_TB_READINGS)}


_TB_READINGS = Goal("ThingsBoard gateway", "readings_s")


def _less(measure: str, unit: str, contest: Contest, figure: str, factor: float) -> dict[str, Any]:
    """A row where ours should be at most so many times the peer's; not judged where the peer is absent."""
    goal = Goal("ThingsBoard gateway", figure, factor)
    here = contest.present(goal)
    ratio = contest.ratio(figure, goal) if here else None
    peers = {one.peer: contest.middle(figure, one.peer) for one in here}
    made = row(
        measure,
        unit,
        contest.middle(figure),
        peers,
        f"<= {factor:g} x {goal.peer}",
        None if ratio is None else ratio <= factor,
    )
    made["ratios"] = {} if ratio is None else {goal.peer: round(ratio, 3)}
    made["absent"] = dict(contest.absent)
    return made


def _capacity(quick: bool) -> Rows:
    thousand = footprint(1000, 15.0 if quick else 60.0)
    share = 100 * thousand["late"] / max(1.0, thousand["polls"])
    name = "1,000 devices x 50 registers at 1 Hz"
    return [
        at_most(f"{name}: late, failed or missed polls", "% of polls", share, 1),
        at_least(f"{name}: readings at the hub", "readings/s", thousand["readings_s"], 49_500),
        at_most(f"{name}: CPU", "% of a core", thousand["cpu_percent"], 100),
        at_most(f"{name}: RSS", "MiB", thousand["rss_mib"], None),
    ]


def _transactions(quick: bool) -> Rows:
    return transactions.rows(quick=quick)


def _readings(quick: bool) -> Rows:
    return readings.rows(quick=quick)


def _outage(quick: bool) -> Rows:
    return outage.run(quick=quick)


def _growth(quick: bool) -> Rows:
    return growth.rows(quick=quick)


GROUPS: dict[str, Callable[[bool], Rows]] = {
    "one": _one,
    "hundred": _hundred,
    "capacity": _capacity,
    "transactions": _transactions,
    "readings": _readings,
    "outage": _outage,
    "growth": _growth,
}
