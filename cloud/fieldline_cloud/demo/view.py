"""The live terminal view of the demo: devices, traffic, alerts, tasks. Pure but for rich's rendering."""

from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fieldline.model import Reading, Severity, Task
from fieldline_cloud.demo.ledger import Ledger, percentile
from fieldline_cloud.demo.story import Story

__all__ = ["render"]

_STYLES = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red"}
_ALERTS_SHOWN = 6
_TASKS_SHOWN = 6


def render(
    ledger: Ledger, edge: Mapping[str, float], story: Story, *, elapsed_s: float, now_s: float, mill_now_ns: int
) -> RenderableType:
    """One picture of the plant. `edge` holds the samples of the gateway's /metrics page.

    What a low terminal cuts off at the end is what can be spared.
    """
    return Group(
        _traffic(ledger, edge, elapsed_s, now_s),
        _alerts(ledger),
        _tasks(ledger),
        _time_lapse(story, mill_now_ns),
        _devices(ledger),
    )


def _traffic(ledger: Ledger, edge: Mapping[str, float], elapsed_s: float, now_s: float) -> Panel:
    latency = percentile(list(ledger.latencies_ms)[-2000:], 0.5)
    backlog = edge.get("fieldline_edge_spool_backlog_frames")
    parts = [
        ("readings/s", f"{ledger.rate(now_s):,.0f}"),
        ("stored", f"{ledger.readings:,}"),
        ("bytes/reading", f"{ledger.bytes_per_reading:.1f}"),
        ("latency p50", f"{latency:.0f} ms" if latency is not None else "-"),
        ("backlog", f"{backlog:.0f} frames" if backlog is not None else "-"),
        ("duplicates", f"{ledger.duplicated}"),
        ("missing", f"{ledger.missing_frames}"),
        ("running", f"{elapsed_s:.0f} s"),
    ]
    table = Table.grid(expand=True)
    for _ in parts:
        table.add_column(justify="center")
    table.add_row(*(Text(name, style="dim") for name, _ in parts))
    table.add_row(*(Text(value, style="bold") for _, value in parts))
    hint = "Ctrl-C ends the demo and everything it started"
    return Panel(table, title="Fieldline demo plant", subtitle=hint, border_style="blue")


def _devices(ledger: Ledger) -> Panel:
    table = Table(box=None, expand=True, pad_edge=False)
    table.add_column("device", style="bold", no_wrap=True)
    table.add_column("last values, those with an alert first", ratio=1, no_wrap=True, overflow="ellipsis")
    alerted = {(str(alert.device), alert.tag) for alert in ledger.raised()}
    for device, readings in sorted(ledger.last.items()):
        values = Text()
        for tag in sorted(readings, key=lambda name: (device, name) not in alerted):
            reading = readings[tag]
            values.append(f"{tag} ", style="dim")
            values.append(f"{_value(reading)}  ", style="" if reading.quality.is_good else "red")
        table.add_row(device, values)
    return Panel(table, title="devices", border_style="blue")


def _alerts(ledger: Ledger) -> Panel:
    table = Table(box=None, expand=True, show_header=False, pad_edge=False)
    raised = ledger.raised()
    for alert in raised[:_ALERTS_SHOWN]:
        style = _STYLES[alert.severity]
        table.add_row(
            Text(_clock(alert.raised_at_ns), style="dim"),
            Text(alert.severity.name.lower(), style=style),
            Text(str(alert.device)),
            Text(alert.message, style=style),
        )
    if not raised:
        table.add_row(Text("none: the plant is well; a bearing fault follows about 10 s after the start", style="dim"))
    return Panel(table, title=f"alerts ({len(raised)})", border_style="yellow" if raised else "blue")


def _tasks(ledger: Ledger) -> Panel:
    table = Table(box=None, expand=True, show_header=False, pad_edge=False)
    tasks = sorted(ledger.tasks.values(), key=lambda task: -task.created_at_ns)
    for task in tasks[:_TASKS_SHOWN]:
        table.add_row(*_task_cells(task))
    if not tasks:
        table.add_row(Text("none", style="dim"))
    return Panel(table, title=f"tasks ({len(tasks)})", border_style="green" if tasks else "blue")


def _time_lapse(story: Story, mill_now_ns: int) -> Panel:
    """The story of the mill, with the days that pass there in seconds."""
    table = Table(box=None, expand=True, show_header=False, pad_edge=False)
    for at_ns, text in story.lines():
        style = "green" if text.startswith("verified") else "yellow" if text.startswith("found") else ""
        table.add_row(Text(_day(at_ns), style="dim"), Text(text, style=style))
    if story.lives_h and not story.is_repaired:
        at_ns, life_h = story.lives_h[-1]
        table.add_row(Text(_day(at_ns), style="dim"), Text(f"remaining life of its bearing: {life_h / 24.0:.1f} days"))
    title = f"time lapse: the mill, {_day(mill_now_ns)} (four hours a second)"
    return Panel(table, title=title, border_style="green" if story.is_over else "blue")


def _day(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns / 1e9, UTC):%a %d %b %H:%M}"


def _task_cells(task: Task) -> tuple[Text, ...]:
    due = datetime.fromtimestamp(task.due_at_ns / 1e9, UTC).astimezone()
    return (
        Text(_clock(task.created_at_ns), style="dim"),
        Text(task.title, style="bold"),
        Text(str(task.device)),
        Text(
            task.technician or f"nobody with the skill {task.skill}",
            style="green" if task.technician else "red",
        ),
        Text(f"due {due:%a %d %b %H:%M}"),
    )


def _value(reading: Reading) -> str:
    value = reading.value
    if value is None:
        return reading.quality.name.lower()
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _clock(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns / 1e9, UTC).astimezone():%H:%M:%S}"
