"""A whole hub: log, broker, gRPC server, metrics, retention."""

import asyncio
import contextlib
import logging
from typing import Any, Self

from fieldline.errors import ConfigError
from fieldline.observe import MetricsServer, is_loopback, split_address
from fieldline_cloud.hub.broker import Broker
from fieldline_cloud.hub.engines.base import StorageError
from fieldline_cloud.hub.engines.segments import SEGMENT_BYTES, SegmentEngine
from fieldline_cloud.hub.metrics import HubCollector
from fieldline_cloud.hub.rpc.server import HubServer
from fieldline_cloud.hub.settings import HubSettings

__all__ = ["Hub"]

log = logging.getLogger(__name__)


class Hub:
    """A hub in this process. `start` it (or use `async with`), read `port`, `stop` it.

    Stopping ends open streams, commits what they brought, and closes the log; clients find out with UNAVAILABLE and
    come back by themselves.
    """

    def __init__(self, settings: HubSettings) -> None:
        self.settings = settings
        self.port = 0
        self.metrics_port = 0
        self.broker: Broker
        self._server: HubServer
        self._metrics: MetricsServer | None = None
        self._trimmer: asyncio.Task[None] | None = None

    @property
    def refusals(self) -> dict[str, int]:
        """Streams ended with an error, by code."""
        return self._server.refusals

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the log and listen. Raises ConfigError or StorageError, and then nothing is left open."""
        host, _ = split_address(self.settings.listen, "listen")
        if not is_loopback(host):
            raise ConfigError(
                f"listen: {self.settings.listen} can be reached from outside, and this hub does not encrypt yet; "
                "listen on 127.0.0.1 and put a TLS proxy or an SSH tunnel in front"
            )
        # At most an eighth of what is kept lies in one segment, so that retention takes small steps.
        segment_bytes = min(SEGMENT_BYTES, max(1 << 18, self.settings.retention.bytes_max // 8))
        engine = await asyncio.to_thread(SegmentEngine, self.settings.data / "log", segment_bytes=segment_bytes)
        self.broker = Broker(engine, self.settings)
        self._server = HubServer(self.broker)
        try:
            await self._listen()
        except BaseException:
            await self.broker.shut()
            raise
        self._trimmer = asyncio.create_task(self._trim_forever(), name="retention")

    async def _listen(self) -> None:
        if self.settings.metrics:
            self._metrics = MetricsServer(self.settings.metrics, HubCollector(self), self.health)
            self.metrics_port = self._metrics.port
        try:
            self.port = await self._server.start(self.settings.listen)
        except OSError as error:
            if self._metrics:
                self._metrics.close()
            raise ConfigError(
                f"listen: cannot listen on {self.settings.listen}: is another hub running there? choose another port"
            ) from error

    async def stop(self) -> None:
        """End streams, commit, close."""
        assert self._trimmer is not None
        self._trimmer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._trimmer
        await self._server.stop(self.settings.drain_s)
        if self._metrics:
            await asyncio.to_thread(self._metrics.close)
        await self.broker.shut()

    def health(self) -> dict[str, Any]:
        """What /healthz says."""
        return {"ok": True, "log_next_offset": self.broker.tail, "subscribers": len(self.broker.subscribers)}

    async def _trim_forever(self) -> None:
        while True:
            await asyncio.sleep(self.settings.retention.check_every_s)
            try:
                await self.broker.trim()
            except StorageError as error:
                log.warning("retention could not be applied: %s", error)
