"""Runs a gateway as a process: signals, metrics, systemd, and what it says when it starts."""

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path

from fieldline_edge import memory
from fieldline_edge.app import Gateway
from fieldline_edge.service.notify import Notifier
from fieldline_edge.service.watchdog import Watchdog, ping_every_s
from fieldline_edge.settings import GatewaySettings, split_address

__all__ = ["serve"]

log = logging.getLogger(__name__)

_STATUS_EVERY_BEATS = 10
_STOP_MARGIN_S = 25.0  # for requests in flight and the last commit, beside what the settings give the hub


async def serve(settings: GatewaySettings, file: Path | None = None) -> None:
    """Run until SIGTERM or SIGINT; a second signal skips waiting for the hub. SIGHUP has `file` read again."""
    gateway = Gateway(settings, file=file)
    notifier = Notifier.from_environment()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        notifier.stopping(within_s=gateway.settings.shutdown_drain_s + _STOP_MARGIN_S)
        gateway.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, gateway.reloader.ask)
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        await gateway.run(started=lambda: _started(gateway, stack, notifier))


def _started(gateway: Gateway, stack: contextlib.ExitStack, notifier: Notifier) -> None:
    settings = gateway.settings
    if settings.metrics is not None:
        # Costs memory: loaded only where it is wanted.
        from fieldline.observe import MetricsServer
        from fieldline_edge.metrics import GatewayCollector

        collector = GatewayCollector(gateway)
        server = MetricsServer(settings.metrics.listen, collector, collector.health)
        stack.callback(server.close)
        host, _ = split_address(settings.metrics.listen)
        log.info("listening on %s:%d", host, server.port, extra={"paths": "/metrics /healthz"})
    memory.settle()
    log.info(
        "reading %d devices for %s",
        len(settings.devices),
        settings.site,
        extra={"gateway": settings.name, "hub": settings.hub, "backlog_frames": gateway.spool.state.frames},
    )
    if notifier.listens:
        _tell_systemd(gateway, notifier)


def _tell_systemd(gateway: Gateway, notifier: Notifier) -> None:
    environment = os.environ
    every_s = ping_every_s(environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", ""), pid=os.getpid())
    watchdog = Watchdog()
    last_ping_s = float("-inf")

    def beat(now_s: float) -> None:
        nonlocal last_ping_s
        spool = gateway.spool
        well = watchdog.is_well(now_s, done=spool.commits + spool.errors, waiting=len(spool.held))
        # A beat early rather than late: beats come once a second and may lag.
        if every_s is not None and well and now_s - last_ping_s >= every_s - 1.0:
            last_ping_s = now_s
            notifier.alive()
        if gateway.heartbeat.beats % _STATUS_EVERY_BEATS == 0 and not gateway.stopping:
            notifier.status(_status(gateway))

    def reloading(begins: bool) -> None:
        if begins:
            notifier.reloading()
        else:
            notifier.ready(_status(gateway))

    gateway.heartbeat.on_beat.append(beat)
    gateway.reloader.told = reloading
    notifier.ready(_status(gateway))


def _status(gateway: Gateway) -> str:
    """One line for `systemctl status`."""
    state = gateway.spool.state
    hub = "connected" if gateway.uplink.connected else "away"
    said = [f"{len(gateway.settings.devices)} devices", f"hub {hub}", f"{state.frames} frames wait"]
    said += [f"spool cannot be written: {gateway.spool.failing}"] if gateway.spool.failing else []
    said += ["clock not synchronised"] if not gateway.keeper.trusted else []
    problems = gateway.reloader.state.problems
    said += [f"new configuration refused: {problems[0]}"] if problems else []
    return ", ".join(said)
