"""`fieldline simulate`: run a simulated plant until Ctrl-C."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from fieldline.config import load
from fieldline_edge.drivers.simulator.runner import PlantRunner
from fieldline_edge.drivers.simulator.settings import PlantSettings

__all__ = ["simulate"]


def simulate(
    plant: Annotated[Path, typer.Argument(help="Plant file (kind: plant).", metavar="PLANT.yaml", show_default=False)],
    duration: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after this many seconds.", show_default="until Ctrl-C")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Write every start and stop of a fault to this file, as JSON lines.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Use this seed and not the file's.", show_default=False)] = None,
) -> None:
    """Run a simulated plant, served as real Modbus TCP and real MQTT.

    Prints one line per listener, `listening on HOST:PORT`, and then nothing. Ctrl-C or SIGTERM ends it.

    Example: `fieldline simulate config/demo/plant.yaml --duration 60 --truth truth.jsonl`

    Exit codes: 0 ended as asked, 1 a port is in use, 2 the plant file is wrong.
    """
    settings = load(plant, PlantSettings)
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    asyncio.run(_simulate(settings, truth, duration))


async def _simulate(settings: PlantSettings, truth: Path | None, duration_s: float | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with PlantRunner(settings, truth=truth) as runner:
        for listener in runner.listeners:
            print(f"listening on {listener.host}:{listener.port}", flush=True)
        if not runner.listeners:
            print(f"publishing to {settings.mqtt.broker}", flush=True)  # so that a script has a line to wait for
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_run_then_stop(runner, duration_s, stop))
            await stop.wait()
            running.cancel()


async def _run_then_stop(runner: PlantRunner, duration_s: float | None, stop: asyncio.Event) -> None:
    await runner.run(duration_s=duration_s)
    stop.set()
