"""`fieldline agent`: run one of the agents that come with Fieldline until it is told to stop."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypeVar

import typer

from fieldline.access_settings import hub_access
from fieldline.cli import new_app
from fieldline.cli.options import start_logging
from fieldline.cli.until_stopped import run_until_stopped
from fieldline.config import load
from fieldline_cloud.agents.agent_settings import AgentSettings
from fieldline_cloud.agents.bus import Bus
from fieldline_cloud.agents.clock import clock_of

__all__ = ["agent"]

agent: Final = new_app("Run an agent: readings to alerts or prognoses, or alerts to tasks.")

_Config = Annotated[Path, typer.Argument(help="The agent's configuration file")]
_Hub = Annotated[str | None, typer.Option(help="Address and port of the hub, instead of the file's")]
_Data = Annotated[Path | None, typer.Option(help="Folder of the agent's own state, instead of the file's")]
_Metrics = Annotated[str | None, typer.Option(help="Address and port of /metrics and /healthz")]
_LogLevel = Annotated[str, typer.Option(help="debug, info, warning or error")]

_S = TypeVar("_S", bound=AgentSettings)
Page = Callable[[str, str], tuple[str, bytes] | None]
"""Content type and content of an HTTP path and query; None: there is no such page."""


class _Agent(Protocol):
    stats: Any

    def run(self, bus: Bus) -> Coroutine[Any, Any, None]: ...


@agent.command()
def anomaly(
    config: _Config,
    hub: _Hub = None,
    data: _Data = None,
    metrics: _Metrics = None,
    log_level: _LogLevel = "info",
) -> None:
    """Watch readings and raise alerts, until Ctrl-C or SIGTERM.

    Example: `fieldline agent anomaly config/demo/anomaly.yaml --hub 127.0.0.1:50051 --data data/anomaly`

    Exit codes: 0 stopped, 1 its state cannot be kept, 2 wrong configuration, 3 the hub refused.
    """
    from fieldline_cloud.agents.anomaly.agent import AnomalyAgent
    from fieldline_cloud.agents.anomaly.alarms.health import alarm_gauges, operator_gauges
    from fieldline_cloud.agents.anomaly.settings import AnomalySettings

    settings, now_ns = _started(config, AnomalySettings, hub, data, log_level)
    running = AnomalyAgent(settings, now_ns=now_ns)
    monitor = running.monitor
    gauges = {"tags": lambda: monitor.tags, "alerts_standing": lambda: len(monitor.raised)}
    gauges |= alarm_gauges(monitor.board)
    gauges |= running.gauges()
    _work(running, settings, metrics, gauges, by_operator=operator_gauges(monitor.board))


@agent.command()
def maintenance(
    config: _Config,
    hub: _Hub = None,
    data: _Data = None,
    metrics: _Metrics = None,
    log_level: _LogLevel = "info",
) -> None:
    """Turn alerts into tasks for technicians, until Ctrl-C or SIGTERM.

    Example: `fieldline agent maintenance config/demo/maintenance.yaml --hub 127.0.0.1:50051`

    Exit codes: 0 stopped, 1 its state cannot be kept, 2 wrong configuration, 3 the hub refused.
    """
    from fieldline_cloud.agents.maintenance.agent import MaintenanceAgent
    from fieldline_cloud.agents.maintenance.settings import MaintenanceSettings

    settings, now_ns = _started(config, MaintenanceSettings, hub, data, log_level)
    running = MaintenanceAgent(settings, now_ns=now_ns)
    _work(running, settings, metrics, running.gauges, running.page)


@agent.command()
def prognosis(
    config: _Config,
    hub: _Hub = None,
    data: _Data = None,
    metrics: _Metrics = None,
    log_level: _LogLevel = "info",
) -> None:
    """Foretell when machines that wear reach their failure limit, until Ctrl-C or SIGTERM.

    Example: `fieldline agent prognosis config/prognosis.yaml --hub 127.0.0.1:50051 --data data/prognosis`

    Exit codes: 0 stopped, 1 its state cannot be kept, 2 wrong configuration, 3 the hub refused.
    """
    from fieldline_cloud.agents.prognosis.agent import PrognosisAgent
    from fieldline_cloud.agents.prognosis.settings import PrognosisSettings

    settings, now_ns = _started(config, PrognosisSettings, hub, data, log_level)
    running = PrognosisAgent(settings, now_ns=now_ns)
    forecaster = running.forecaster
    gauges = {
        "tags": lambda: forecaster.tags,
        "prognoses_standing": lambda: forecaster.standing + running.machines.standing,
        "machines": lambda: running.machines.followed,
    }
    _work(running, settings, metrics, gauges)


def _started(
    config: Path, model: type[_S], hub: str | None, data: Path | None, log_level: str
) -> tuple[_S, Callable[[], int]]:
    """How every agent begins: logging, its file with the options over it, and the clock it lives by (Unix ns)."""
    start_logging(log_level)
    settings = load(config, model)
    given = {"hub": hub, "data": data}
    settings = settings.model_copy(update={key: value for key, value in given.items() if value is not None})
    return settings, clock_of(settings.clock)


def _work(
    running: _Agent,
    settings: AgentSettings,
    metrics: str | None,
    gauges: Mapping[str, Callable[[], int]],
    page: Page = lambda path, query: None,
    by_operator: Mapping[str, Callable[[], Mapping[str, float]]] | None = None,
) -> None:
    """Run it until it is told to stop."""
    asyncio.run(_run(running, settings, metrics, gauges, page, by_operator))


async def _run(
    running: _Agent,
    settings: AgentSettings,
    metrics: str | None,
    gauges: Mapping[str, Callable[[], int]],
    page: Page,
    by_operator: Mapping[str, Callable[[], Mapping[str, float]]] | None,
) -> None:
    from fieldline import Agent, Runtime, __version__
    from fieldline.observe import MetricsServer
    from fieldline_cloud.agents.metrics import StatsCollector

    access = hub_access(settings.hub_tls, settings.hub_token)
    with ExitStack() as at_end:
        agent = Agent(settings.KIND, __version__)
        async with Runtime(
            settings.hub, name=settings.name, tls=access.tls, token=access.token, agent=agent
        ) as runtime:
            if metrics:
                collector = StatsCollector(settings.KIND, running.stats, gauges, by_operator)
                server = MetricsServer(metrics, collector, lambda: {"ok": runtime.connected}, page)
                at_end.callback(server.close)
            await run_until_stopped(running.run(runtime))
