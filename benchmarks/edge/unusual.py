"""What `anomaly:` of a gateway's tag tells on recorded tags: alerts raised, and how they fall to what people labelled.

    python -m benchmarks.edge.unusual [--data FOLDER]

Every file of the Numenta Anomaly Benchmark that is there is one tag; the settings are those of `anomaly: true` but for
the threshold. FOLDER is that of the anomaly bench (benchmarks/anomaly/README.md says what is in it). Where the run to
failure of four bearings is beside it (benchmarks/rul/README.md), the alerts on each are told too, as shipped.
"""

import argparse
import csv
import gzip
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.anomaly.corpus import DATA_DEFAULT, nab
from benchmarks.anomaly.scoring import Labelled
from fieldline.model import Alert, AlertState, DeviceId, Reading
from fieldline_edge.processing.anomaly import AnomalySpec, Unusual
from fieldline_edge.processing.anomaly_settings import AnomalySettings
from fieldline_edge.processing.stage import ProcessingStats

_TAG = "value"
_HOUR_NS = 3_600_000_000_000


def _raised(series: Iterable[tuple[int, float]], threshold: float) -> Iterator[tuple[int, Alert]]:
    """(row, alert) of all that are raised on (time in ns, value)."""
    spec = AnomalySpec(DeviceId("demo", "hall", "recorded"), _TAG, threshold=threshold)
    subject = Unusual(spec, stats=ProcessingStats())
    for row, (at_ns, value) in enumerate(series):
        for alert in subject.put(Reading(_TAG, at_ns, value), 0.0) or ():
            if alert.state is AlertState.RAISED:
                yield row, alert


def _line(corpus: Sequence[Labelled], threshold: float) -> str:
    found = windows = false = inside = 0
    days = 0.0
    for series in corpus:
        pairs = zip(series.at_ns.tolist(), series.values.tolist(), strict=True)
        rows = [row for row, _ in _raised(pairs, threshold)]
        windows += len(series.windows)
        days += float(series.at_ns[-1] - series.at_ns[0]) / 86_400e9
        for first, last in series.windows:
            found += any(first <= row <= last for row in rows)
        hits = sum(any(first <= row <= last for first, last in series.windows) for row in rows)
        inside += hits
        false += len(rows) - hits
    return f"| {threshold:g} | {found} of {windows} | {inside} | {false} | {false / days * 7:.3f} |"


def _bearings(path: Path) -> None:
    """Every alert on each bearing, and how long before the end of the run it came."""
    with gzip.open(path, "rt", newline="") as text:
        _, *lines = csv.reader(text)
    moments = [datetime.strptime(line[0], "%Y.%m.%d.%H.%M.%S").replace(tzinfo=UTC) for line in lines]
    at_ns = [int(moment.timestamp()) * 1_000_000_000 for moment in moments]
    print("\n| bearing | hours before the end | alert |\n|---|---|---|")
    for number in range(1, len(lines[0])):
        values = [float(line[number]) for line in lines]
        for row, alert in _raised(zip(at_ns, values, strict=True), AnomalySettings().threshold):
            print(f"| {number} | {(at_ns[-1] - at_ns[row]) / _HOUR_NS:.1f} | {alert.message} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA_DEFAULT)
    folder = parser.parse_args().data
    corpus = nab(folder)
    print(f"{len(corpus)} files, {sum(len(series.values) for series in corpus):,} readings")
    print("| threshold | windows with an alert | alerts within | alerts elsewhere | elsewhere a tag and week |")
    print("|---|---|---|---|---|")
    for threshold in (1.0, 1.25, 1.5, 2.0):
        print(_line(corpus, threshold))
    bearings = folder.parent / "rul" / "ims_bearing_test2_mean_abs.csv.gz"
    if bearings.is_file():
        _bearings(bearings)


if __name__ == "__main__":
    main()
