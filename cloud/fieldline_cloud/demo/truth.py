"""The faults of simulated plants, as their truth files tell them: what really is, which no agent sees. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["TrueFault", "faults_in"]


@dataclass(frozen=True, slots=True)
class TrueFault:
    """A fault that has begun: the device ("area/name"), what is wrong, since when, and when the machine would fail."""

    kind: str
    device: str
    began_ns: int = 0
    failure_ns: int | None = None


def faults_in(truth: Iterable[str]) -> list[TrueFault]:
    """The faults that began, from the lines of a truth file; a last line that is only half written is left out."""
    found = []
    for line in truth:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("event") == "start":
            found.append(_fault(entry))
    return found


def _fault(entry: dict[str, float]) -> TrueFault:
    began_ms, failure_s = entry.get("at_ms", 0), entry.get("failure_s")
    failure_ns = None
    if failure_s is not None:
        failure_ns = round((began_ms / 1e3 + failure_s - entry["at_s"]) * 1e9)
    return TrueFault(str(entry["kind"]), f"{entry['area']}/{entry['machine']}", round(began_ms * 1e6), failure_ns)
