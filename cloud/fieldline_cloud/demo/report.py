"""What a demo run has shown, as one dictionary, and whether it is what was promised. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from fieldline.cli.text import timestamp
from fieldline.model import Alert, Task
from fieldline_cloud.demo.ledger import Ledger, percentile
from fieldline_cloud.demo.story import Story
from fieldline_cloud.demo.truth import TrueFault

__all__ = ["STORY_S", "build", "verdict"]

STORY_S = 25.0
"""Runs that are shorter cannot tell the whole story of the mill, and are not judged by it."""


def build(
    ledger: Ledger, spools: Iterable[Mapping[str, Any]], faults: Iterable[TrueFault], story: Story, *, duration_s: float
) -> dict[str, Any]:
    """The report. `spools` is what `fieldline-edge spool status --json` says of each gateway after it has stopped.

    polled: readings the drivers took; published: acknowledged by the hub; stored: different readings found in the
    hub's log by (producer, epoch, sequence); lost: polled and not stored; duplicated: stored a second time.
    """
    spools = list(spools)
    polled, stored = sum(int(spool["readings_polled"]) for spool in spools), ledger.readings
    return {
        "readings": {
            "polled": polled,
            "published": sum(int(spool["readings_acked"]) for spool in spools),
            "stored": stored,
            "lost": polled - stored,
            "duplicated": ledger.duplicated,
        },
        "alerts": [_alert(alert) for alert in sorted(ledger.alerts.values(), key=lambda one: one.raised_at_ns)],
        "tasks": [_task(task) for task in sorted(ledger.tasks.values(), key=lambda one: one.created_at_ns)],
        "faults": [{"kind": fault.kind, "device": fault.device} for fault in faults],
        "bytes_per_reading": round(ledger.bytes_per_reading, 2),
        "latency_ms": {
            "p50": _rounded(percentile(ledger.latencies_ms, 0.50)),
            "p99": _rounded(percentile(ledger.latencies_ms, 0.99)),
        },
        "duration_s": round(duration_s, 2),
        **story.report(),
        "problems": story.problems() if duration_s >= STORY_S else [],
    }


def verdict(report: Mapping[str, Any]) -> list[str]:
    """Everything that is not as promised, one sentence each; an empty list is success."""
    readings = report["readings"]
    problems = []
    if not readings["polled"]:
        problems.append("no reading was polled")
    if readings["lost"]:
        problems.append(f"{readings['lost']} readings were lost")
    if readings["duplicated"]:
        problems.append(f"{readings['duplicated']} readings are in the log twice")
    if not report["faults"]:
        problems.append("the run ended before a fault was injected; give it at least 30 s")
    problems += [
        f"the injected {fault['kind']} on {fault['device']} did not become anybody's task"
        for fault in report["faults"]
        if not any(_answers(task, fault) for task in report["tasks"])
    ]
    return [*problems, *report["problems"]]


def _answers(task: Mapping[str, Any], fault: Mapping[str, Any]) -> bool:
    same_place = task["device"].endswith(f"/{fault['device']}")
    return same_place and task["cause"] == fault["kind"] and bool(task["technician"])


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "device": str(alert.device),
        "tag": alert.tag,
        "rule": alert.rule,
        "cause": alert.cause,
        "severity": alert.severity.name.lower(),
        "state": alert.state.value,
        "raised_at": timestamp(alert.raised_at_ns),
        "message": alert.message,
    }


def _task(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "device": str(task.device),
        "cause": task.cause,
        "severity": task.severity.name.lower(),
        "state": task.state.value,
        "title": task.title,
        "technician": task.technician,
        "due": timestamp(task.due_at_ns),
        "alerts": list(task.alert_ids),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
