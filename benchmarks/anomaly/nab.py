"""The per-tag detector on NAB: with the threshold it is shipped with, and with the one NAB would choose."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.anomaly.corpus import nab as load
from benchmarks.anomaly.detectors import surprise, windowed_gaussian
from benchmarks.anomaly.rows import Rows
from benchmarks.anomaly.scoring import PROFILES, STANDARD, Floats, Labelled, alarms, best, score
from benchmarks.harness import at_least, row

__all__ = ["nab"]

THRESHOLD = 1.0  # as shipped
_GAUSSIAN = "windowed Gaussian"


def nab(quick: bool, folder: Path) -> Rows:
    """Rows of the whole corpus, then of its parts; FileNotFoundError, with the cure, where it is not there.

    `quick` leaves the windowed Gaussian out. Detectors see one reading after the other and nothing else.
    """
    corpus = load(folder)
    ours = [surprise(series) for series in corpus]
    gaussian = [] if quick else [windowed_gaussian(series) for series in corpus]
    return [*_whole(corpus, ours, gaussian), *_parts(corpus, ours)]


def _whole(corpus: Sequence[Labelled], ours: Sequence[Floats], gaussian: Sequence[Floats]) -> Rows:
    rows = []
    for profile in PROFILES:
        result, threshold = best(corpus, ours, profile)
        peers = {_GAUSSIAN: best(corpus, gaussian, profile)[0]} if gaussian else {}
        goal = 70.0 if profile is STANDARD else None
        name = f"NAB, {len(corpus)} files, {profile.name}"
        rows.append(at_least(f"{name}, its best threshold ({threshold:.3g})", "of 100", result, goal, peers))
        fixed = score(corpus, ours, profile, THRESHOLD)
        rows.append(at_least(f"{name}, threshold {THRESHOLD:g} fixed beforehand", "of 100", fixed, None))
    return rows


def _parts(corpus: Sequence[Labelled], ours: Sequence[Floats]) -> Rows:
    """What the fixed threshold does in each category: its result, windows found, false alarms."""
    rows = []
    for category in sorted({series.category for series in corpus}):
        part = [(series, one) for series, one in zip(corpus, ours, strict=True) if series.category == category]
        files, scores = [series for series, _ in part], [one for _, one in part]
        done = alarms(files, scores, THRESHOLD)
        text = f"{category}: {done.found} of {done.windows} windows found, {done.false} false alarms"
        readings = sum(len(series.values) - series.probation for series in files)
        if done.windows:
            rows.append(row(f"{text}; standard", "of 100", score(files, scores, STANDARD, THRESHOLD), {}, None, None))
        rows.append(row(f"{category}: false alarms", "/1,000 readings", 1e3 * done.false / readings, {}, None, None))
    return rows
