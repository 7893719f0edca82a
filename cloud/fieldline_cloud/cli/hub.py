"""`fieldline hub`: run a hub until it is told to stop."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fieldline.cli.options import start_logging
from fieldline.cli.until_stopped import stop_event
from fieldline.config import load
from fieldline.errors import ConfigError

if TYPE_CHECKING:
    from fieldline_cloud.hub import Hub

__all__ = ["hub"]


def hub(
    config: Annotated[
        Path | None, typer.Argument(help="hub.yaml; without it the defaults and the options below")
    ] = None,
    listen: Annotated[str | None, typer.Option(help="Address and port for gRPC, e.g. 127.0.0.1:50051")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for the log")] = None,
    metrics: Annotated[str | None, typer.Option(help="Address and port of /metrics and /healthz")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Beyond loopback without encryption all the same")
    ] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "info",
) -> None:
    """Run a hub until Ctrl-C or SIGTERM. SIGHUP has it read grants, tokens and revocations again at once.

    Example: `fieldline hub --listen 127.0.0.1:50051 --data data/hub --metrics 127.0.0.1:9464`

    Exit codes: 0 stopped, 1 the log failed, 2 wrong configuration or address in use.
    """
    start_logging(log_level)
    from fieldline_cloud.hub import Hub, HubSettings  # gRPC is loaded only by those who run a hub
    from fieldline_cloud.hub.memory import keep_memory_flat

    keep_memory_flat()

    settings = load(config, HubSettings) if config else HubSettings()
    given = {"listen": listen, "data": data, "metrics": metrics, "insecure": insecure or None}
    settings = settings.model_copy(update={key: value for key, value in given.items() if value is not None})

    async def serve() -> None:
        stopped = stop_event()  # first: who reads "listening" may want to stop us at once
        async with Hub(settings, config=config) as running:
            with _reloads(running):
                host = settings.listen.rpartition(":")[0]
                print(f"listening on {host}:{running.port}", flush=True)
                if running.metrics_port:
                    print(f"metrics on http://127.0.0.1:{running.metrics_port}/metrics", flush=True)
                if running.token_port:
                    print(f"listening for tokens on port {running.token_port}", flush=True)
                await stopped.wait()

    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        asyncio.run(serve())
    except (PermissionError, NotADirectoryError, FileExistsError, FileNotFoundError) as error:
        raise ConfigError(f"data: {settings.data}: {error.strerror}; choose a folder you may write to") from error


@contextmanager
def _reloads(running: "Hub") -> Iterator[None]:
    """While this holds, SIGHUP means: look at the files again. A hub that asks nobody has none, and ends as ever."""
    if running.settings.auth is None and running.settings.tls is None:
        yield
        return
    loop = asyncio.get_running_loop()
    looks: set[asyncio.Task[None]] = set()

    def look() -> None:
        task = loop.create_task(running.reload())
        looks.add(task)
        task.add_done_callback(looks.discard)

    loop.add_signal_handler(signal.SIGHUP, look)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
