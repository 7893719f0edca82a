"""Contenders in turn, and rows that compare ours with each peer pair by pair.

A repetition runs every contender once (A B C, A B C, ...), because the machine drifts: what is compared has run within
the same seconds. So a factor is the median of the ratios within the repetitions, never the ratio of two medians. What a
contender left unwritten is flushed before the next begins, or it would pay for it.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.harness import row

__all__ = ["Absent", "Contest", "Goal", "more_is_better"]

Contender = Callable[[], Mapping[str, float]]


class Absent(Exception):
    """A peer cannot take part here; the message says why, and stands in the row instead of a figure."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A peer in a row: the `measure` of it that counts, and how many times that ours has to be; None: only shown."""

    peer: str
    measure: str
    factor: float | None = None


@dataclass(slots=True)
class Contest:
    """What each contender measured in each repetition, and why those that are missing are missing."""

    runs: list[dict[str, Mapping[str, float]]] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: int, ours: Contender, peers: Mapping[str, Contender] | None = None) -> "Contest":
        """Run all in turn, so many times. A peer that fails is out, with its reason; ours may not fail."""
        contest = cls()
        for _ in range(runs):
            os.sync()
            figures = {"ours": ours()}
            for name, peer in (peers or {}).items():
                if name not in contest.absent:
                    os.sync()
                    contest._add(figures, name, peer)
            contest.runs.append(figures)
        return contest

    def _add(self, figures: dict[str, Mapping[str, float]], name: str, peer: Contender) -> None:
        try:
            figures[name] = peer()
        except (Absent, OSError, RuntimeError) as error:
            self.absent[name] = str(error) or type(error).__name__
            print(f"{name} takes no part: {self.absent[name]}", file=sys.stderr)

    def values(self, measure: str, name: str = "ours") -> list[float]:
        """One contender's figures, those repetitions it took part in."""
        return [figures[name][measure] for figures in self.runs if name in figures]

    def middle(self, measure: str, name: str = "ours") -> float:
        """The median of them."""
        return float(median(self.values(measure, name)))

    def ratio(self, measure: str, goal: Goal) -> float:
        """The median over the repetitions of ours to the peer's."""
        pairs = [figures for figures in self.runs if goal.peer in figures]
        return float(median(figures["ours"][measure] / figures[goal.peer][goal.measure] for figures in pairs))

    def present(self, *goals: Goal) -> list[Goal]:
        """Those whose peer has taken part every time."""
        return [goal for goal in goals if goal.peer not in self.absent]


def more_is_better(
    measure: str,
    unit: str,
    contest: Contest,
    own: str,
    *goals: Goal,
    at_least: float | None = None,
    at_least_text: str = "",
) -> dict[str, Any]:
    """A row of our measure `own` beside several peers, each with its factor, and a fixed bound as well if there is one.

    Where a peer with a factor is absent the goal is not met or cannot be judged, never met.
    """
    here = contest.present(*goals)
    ratios = {goal.peer: contest.ratio(own, goal) for goal in here}
    ours = contest.middle(own)
    verdicts: list[bool | None] = [
        ratios[goal.peer] >= goal.factor if goal in here else None for goal in goals if goal.factor is not None
    ]
    texts = [f">= {goal.factor:g} x {goal.peer}" for goal in goals if goal.factor is not None]
    if at_least is not None:
        verdicts.append(ours >= at_least)
        texts.append(f">= {at_least:,.10g}{at_least_text}")
    met = False if False in verdicts else None if None in verdicts else True
    peers = {goal.peer: contest.middle(goal.measure, goal.peer) for goal in here}
    made = row(measure, unit, ours, peers, ", ".join(texts) or None, met)
    made["ratios"] = {peer: round(ratio, 2) for peer, ratio in ratios.items()}
    made["absent"] = {goal.peer: contest.absent[goal.peer] for goal in goals if goal.peer in contest.absent}
    return made
