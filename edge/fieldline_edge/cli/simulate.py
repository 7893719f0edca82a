"""`fieldline simulate`: run a simulated plant until Ctrl-C, or write down what it would have told."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from fieldline.config import load
from fieldline.errors import ConfigError
from fieldline_edge.drivers.simulator.recorder import record as record_plant
from fieldline_edge.drivers.simulator.runner import PlantRunner
from fieldline_edge.drivers.simulator.serving_settings import check_loopback
from fieldline_edge.drivers.simulator.settings import PlantSettings

__all__ = ["simulate"]

_DAY_S = 86_400.0


def simulate(
    plant: Annotated[Path, typer.Argument(help="Plant file (kind: plant).", metavar="PLANT.yaml", show_default=False)],
    duration: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop after this many seconds; with --record: of plant time.", show_default=False),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Write every start, failure and stop of a fault to this file, as JSON lines.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Use this seed and not the file's.", show_default=False)] = None,
    time_scale: Annotated[
        float | None, typer.Option(min=0.001, max=1e6, help="Seconds of plant time in a second.", show_default=False)
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="Take commands here, like 127.0.0.1:5021.", show_default=False)
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Serve nothing; write all values to this .csv or .jsonl, as fast as can be.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0.0, help="With --record: days of plant time.", show_default=False)
    ] = None,
    every: Annotated[
        float | None, typer.Option(min=0.001, help="With --record: seconds between rows.", show_default="each step")
    ] = None,
) -> None:
    """Run a simulated plant, served as real Modbus and real MQTT.

    Prints one line per listener, `listening on HOST:PORT`, and then nothing. Ctrl-C or SIGTERM ends it.

    Example: `fieldline simulate config/demo/plant.yaml --duration 60 --truth truth.jsonl`

    Example: `fieldline simulate config/plants/compressor-hall.yaml --record week.csv --days 7 --truth truth.jsonl`

    Exit codes: 0 ended as asked, 1 a port is in use, 2 the plant file or an option is wrong.
    """
    settings = _settings(plant, seed, time_scale, control)
    if record is None:
        if days is not None or every is not None:
            raise ConfigError("--days and --every are for --record; add it, or use --duration")
        asyncio.run(_simulate(settings, truth, duration, plant.parent))
        return
    if (days is None) == (duration is None):
        raise ConfigError("--record needs one of --days and --duration; give one")
    duration_s = duration if days is None else days * _DAY_S
    assert duration_s is not None
    count = record_plant(settings, record, duration_s=duration_s, every_s=every, truth=truth, folder=plant.parent)
    print(f"{record}: {count} values")


def _settings(plant: Path, seed: int | None, time_scale: float | None, control: str | None) -> PlantSettings:
    settings = load(plant, PlantSettings)
    if control is not None:
        try:
            check_loopback(control)
        except ValueError as error:
            raise ConfigError(f"--control: {error}") from None
    chosen = {"seed": seed, "time_scale": time_scale, "control": control}
    return settings.model_copy(update={key: value for key, value in chosen.items() if value is not None})


async def _simulate(settings: PlantSettings, truth: Path | None, duration_s: float | None, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with PlantRunner(settings, truth=truth, folder=folder) as runner:
        for listener in runner.listeners:
            print(f"listening on {listener.host}:{listener.port}", flush=True)
        if not runner.listeners:
            print(f"publishing to {settings.mqtt.broker}", flush=True)  # so that a script has a line to wait for
        for line in runner.serial_lines:
            print(f"answering on {line.device}", flush=True)
        if runner.control is not None:
            print(f"commands on {runner.control.host}:{runner.control.port}", flush=True)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_run_then_stop(runner, duration_s, stop))
            await stop.wait()
            running.cancel()


async def _run_then_stop(runner: PlantRunner, duration_s: float | None, stop: asyncio.Event) -> None:
    await runner.run(duration_s=duration_s)
    stop.set()
