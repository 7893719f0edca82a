"""Runs a gateway as a process: signals, metrics, and what it says when it starts."""

import asyncio
import contextlib
import logging
import signal

from fieldline_edge import memory
from fieldline_edge.app import Gateway
from fieldline_edge.settings import GatewaySettings, split_address

__all__ = ["serve"]

log = logging.getLogger(__name__)


async def serve(settings: GatewaySettings) -> None:
    """Run until SIGTERM or SIGINT; a second signal skips waiting for the hub."""
    gateway = Gateway(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, gateway.stop)
    with contextlib.ExitStack() as stack:
        await gateway.run(started=lambda: _started(gateway, stack))


def _started(gateway: Gateway, stack: contextlib.ExitStack) -> None:
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
