"""The scoring of SKAB: what counts, and when an alarm stands."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks.anomaly.skab import Counts, alarms, load, total

S = 1_000_000_000


def test_an_alarm_comes_after_its_delay_and_goes_after_the_other() -> None:
    scores = np.zeros(60)
    scores[10:20] = 1.5
    scores[20:25] = 0.9  # below the threshold, not yet at rest

    raised = alarms(np.arange(60, dtype=np.int64) * S, scores)

    assert np.flatnonzero(raised).tolist() == list(range(13, 40))


def test_scores_that_are_not_there_raise_nothing() -> None:
    assert not alarms(np.arange(60, dtype=np.int64) * S, np.full(60, np.nan)).any()


def test_flagging_everything_has_every_false_alarm_and_misses_nothing() -> None:
    everything = total([Counts(30, 20, 0, 0), Counts(5, 10, 0, 0)])

    assert everything == Counts(35, 30, 0, 0)
    assert (everything.f1, everything.far, everything.mar) == (0.7, 100.0, 0.0)


def test_a_file_is_read_with_its_labels(tmp_path: Path) -> None:
    folder = tmp_path / "skab" / "valve1"
    folder.mkdir(parents=True)
    text = "datetime;Current;Pressure;anomaly;changepoint\n2020-03-09 10:14:33;1.5;2.5;0.0;0.0\n"
    text += "2020-03-09 10:14:34;1.25;3.5;1.0;1.0\n"
    (folder / "0.csv.gz").write_bytes(gzip.compress(text.encode()))

    (trace,) = load(tmp_path)

    assert (trace.name, trace.channels) == ("valve1/0", ("Current", "Pressure"))
    assert np.diff(trace.times).tolist() == [S]
    assert trace.values.tolist() == [[1.5, 2.5], [1.25, 3.5]]
    assert trace.anomalous.tolist() == [False, True]


def test_a_missing_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--data"):
        next(load(tmp_path))
