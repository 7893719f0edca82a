"""The engines there are, and what their tests share. A new engine is one more entry in ENGINES."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.core.policies import TopicPolicies, TopicPolicy
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.engines.base import (
    Append,
    Appended,
    Engine,
    IncomingFrame,
    ProducerKey,
    Retained,
    RetentionRules,
)
from fieldline_cloud.hub.engines.segments import SegmentEngine

ALL = 1 << 40
PRODUCER = ProducerKey("p", 1)


class Clock:
    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


ENGINES: dict[str, Callable[[Path, Clock], Engine]] = {
    "segments": lambda folder, clock: SegmentEngine(folder / "log", segment_bytes=1, now_ms=clock),
}


class Bench:
    """An engine that can be closed and opened again, and shorthand for its calls."""

    def __init__(self, make: Callable[[Path, Clock], Engine], folder: Path) -> None:
        self.clock = Clock()
        self._make = make
        self._folder = folder
        self.engine = make(folder, self.clock)

    def reopen(self) -> None:
        self.engine.close()
        self.engine = self._make(self._folder, self.clock)

    def append(self, *sequences: int, topic: str = "t", producer: ProducerKey = PRODUCER, **given: Any) -> Appended:
        return self.engine.commit([append(*sequences, topic=topic, producer=producer, **given)], {})[0]

    def retain(
        self, *policies: TopicPolicy, bytes_max: int = ALL, age_ms_max: int = ALL, hold_offset: int | None = None
    ) -> Retained:
        rules = RetentionRules(bytes_max, age_ms_max, TopicPolicies(policies))
        return self.engine.retain(rules, now_ms=self.clock.now_ms, hold_offset=hold_offset)

    def read_all(self, start: int = 0, wanted: Callable[[str], bool] = lambda _: True) -> list[Record]:
        """Read to the end, as a subscriber that is behind does."""
        found: list[Record] = []
        end = self.engine.statistics().next_offset
        while start < end:
            chunk = self.engine.read(start, wanted, bytes_max=10_000)
            found += chunk.records
            if chunk.next_offset == start:
                break
            start = chunk.next_offset
        return found


def append(
    *sequences: int, topic: str = "t", producer: ProducerKey = PRODUCER, skipped: int = 0, size: int = 10
) -> Append:
    return Append(producer, [IncomingFrame(n, skipped, topic, 2, data(n, topic, size)) for n in sequences])


def data(sequence: int, topic: str, size: int = 10) -> bytes:
    return hub_pb2.Frame(topic=topic, sequence=sequence, body=bytes(size)).SerializeToString()


def sequences(records: list[Record]) -> list[int]:
    return [hub_pb2.Delivery.FromString(one.delivery).frame.sequence for one in records]


def marks(**next_offsets: int) -> dict[str, DurableMark]:
    return {name: DurableMark(name, offset) for name, offset in next_offsets.items()}


def offsets(records: Any) -> list[int]:
    return [one.offset for one in records]


def caught(work: Callable[[], None], failures: list[str]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  # whatever it is, the test must say so
        failures.append(repr(error))


def log_sizes(bench: Bench) -> tuple[int, int, int]:
    found = bench.engine.statistics()
    return found.first_offset, found.next_offset, found.frames_bytes
