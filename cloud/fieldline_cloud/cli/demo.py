"""`fieldline demo`: a whole plant on this machine."""

import asyncio
import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldline.cli import EXIT_FAILED
from fieldline.errors import ConfigError

__all__ = ["demo"]


def demo(
    duration: Annotated[
        float | None, typer.Option(help="Seconds to run without a screen; left out: until Ctrl-C", min=1)
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a JSON report here")] = None,
    config: Annotated[Path, typer.Option(help="Folder with the demo's configuration")] = Path("config/demo"),
    data: Annotated[Path | None, typer.Option(help="Keep logs and data here; left out: a temporary folder")] = None,
) -> None:
    """Run the demo plant: simulated machines on real Modbus TCP and MQTT, a gateway, the hub and its agents.

    About 10 s after the start a bearing begins to fail; within seconds an alert is raised, and a technician has a task.
    Beside it runs a mill in time lapse, four hours in a second: a bearing is found days before it fails, the repair is
    planned, done, and verified by the signal. A run of at least 25 s goes on up to 20 s longer until that is told.

    Example: `fieldline demo --duration 30 --report report.json`

    Exit codes: 0 nothing lost, nothing twice, the fault became a task and the mill's repair is verified; 1 otherwise;
    2 wrong configuration.
    """
    if report is not None and not report.parent.is_dir():
        raise ConfigError(f"--report {report}: there is no folder {report.parent}; make it first")
    from rich.console import Console

    from fieldline_cloud.demo.report import verdict
    from fieldline_cloud.demo.run import run_demo

    console = Console() if duration is None and sys.stdout.isatty() else None

    async def run(folder: Path) -> dict[str, Any]:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
        ):  # a second Ctrl-C does not cut the tidying up short
            loop.add_signal_handler(number, stopped.set)
        return await run_demo(config, folder, duration_s=duration, console=console, stopped=stopped)

    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fieldline-demo-")))
        result = asyncio.run(run(folder))
    if report is not None:
        report.write_text(json.dumps(result, indent=2) + "\n")
    _summary(result)
    problems = verdict(result)
    if duration is not None or report is not None:
        for problem in problems:
            print(f"failed: {problem}", file=sys.stderr)
        if problems:
            raise typer.Exit(EXIT_FAILED)


def _summary(result: dict[str, Any]) -> None:
    readings, latency = result["readings"], result["latency_ms"]
    print(
        f"{readings['polled']} readings polled, {readings['stored']} stored, {readings['lost']} lost, "
        f"{readings['duplicated']} twice; {result['bytes_per_reading']} bytes each; "
        f"device to agent p50 {latency['p50']} ms, p99 {latency['p99']} ms"
    )
    for alert in result["alerts"]:
        print(f"alert  {alert['raised_at']}  {alert['severity']}  {alert['device']}  {alert['message']}")
    for task in result["tasks"]:
        print(f"task   {task['title']}  {task['device']}  {task['technician'] or 'unassigned'}  due {task['due']}")
    for line in result["story"]:
        print(f"mill   {line['at']}  {line['what']}")
