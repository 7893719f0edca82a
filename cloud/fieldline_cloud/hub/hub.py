"""A whole hub: log, broker, gRPC server, metrics, retention."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from fieldline.errors import ConfigError
from fieldline.observe import MetricsServer, is_loopback, split_address
from fieldline_cloud.hub.broker import Broker
from fieldline_cloud.hub.engines.base import StorageError
from fieldline_cloud.hub.engines.segments import RESERVE_BYTES, SEGMENT_BYTES, SegmentEngine
from fieldline_cloud.hub.metrics import HubCollector
from fieldline_cloud.hub.rpc.attend import Attendance
from fieldline_cloud.hub.rpc.gate import Gate
from fieldline_cloud.hub.rpc.server import Door, HubServer
from fieldline_cloud.hub.settings import HubSettings
from fieldline_cloud.hub.tls import ServerCertificates
from fieldline_cloud.hub.watch import Watch

__all__ = ["Hub"]

log = logging.getLogger(__name__)

# With TLS and no `auth`: how often open streams are checked for certificates that were revoked or have expired.
_CHECK_EVERY_S = 10.0


class Hub:
    """A hub in this process. `start` it (or use `async with`), read `port`, `stop` it.

    Stopping ends open streams, commits what they brought, and closes the log; clients find out with UNAVAILABLE and
    come back by themselves. `config` is the file the settings were read from: its `auth.identities` are read again when
    it changes.
    """

    def __init__(self, settings: HubSettings, *, config: Path | None = None) -> None:
        self.settings = settings
        self._config = config
        self.port = 0
        self.token_port = 0
        """Port of `auth.token_listen`; 0: there is none."""
        self.metrics_port = 0
        self.certificates: ServerCertificates | None = None
        self.broker: Broker
        self._gate: Gate
        self._server: HubServer
        self._watch: Watch
        self._metrics: MetricsServer | None = None
        self._chores: list[asyncio.Task[None]] = []

    @property
    def refusals(self) -> dict[str, int]:
        """Streams ended with an error, by code."""
        return self._server.refusals

    @property
    def attendance(self) -> Attendance:
        """Which agents are present."""
        return self._server.attendance

    @property
    def admin_calls(self) -> Mapping[str, int]:
        """Calls of the Admin service that were let in, by method."""
        return self._server.admin.calls

    @property
    def half_open_streams(self) -> int:
        """Streams that have not said hello yet."""
        return self._server.half_open_streams

    @property
    def conditions(self) -> dict[str, str]:
        """What is wrong with the hub itself at the moment, with a sentence each."""
        return self._watch.active

    @property
    def reload_failures(self) -> dict[str, int]:
        """Files that have changed and could not be used, by what is in them."""
        own = {"certificates": self.certificates.failures} if self.certificates else {}
        return self._gate.reload_failures | own

    async def reload(self) -> None:
        """Look at grants, tokens and revocation list now, and send away whom they no longer let in."""
        await self._server.look_again(even_unchanged=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the log and listen. Raises ConfigError or StorageError, and then nothing is left open."""
        self._check_exposure()
        self._gate, doors = Gate(self.settings, config=self._config), self._doors()
        # At most an eighth of what is kept lies in one segment, so that retention takes small steps.
        segment_bytes = min(SEGMENT_BYTES, max(1 << 18, self.settings.retention.bytes_max // 8))
        engine = await asyncio.to_thread(
            SegmentEngine,
            self.settings.data / "log",
            segment_bytes=segment_bytes,
            reserve_bytes=min(RESERVE_BYTES, segment_bytes),
        )
        self.broker = Broker(engine, self.settings)
        self._server = HubServer(self.broker, self._gate)
        self._watch = Watch(
            log_failure=lambda: self.broker.committer.failure,
            not_after_s=lambda: self.certificates.ends_s() if self.certificates else None,
            announce=self.broker.publish_volatile,
        )
        try:
            await self._listen(doors)
        except BaseException:
            await self.broker.shut()
            raise
        self._chores = [
            asyncio.create_task(self._trim_forever(), name="retention"),
            asyncio.create_task(self._server.attendance.watch(), name="attendance"),
            asyncio.create_task(self._watch.run(), name="watch"),
        ]
        if self.settings.auth or self.settings.tls:
            every_s = self.settings.auth.check_every_s if self.settings.auth else _CHECK_EVERY_S
            self._chores.append(asyncio.create_task(self._server.watch(every_s), name="access"))

    def _check_exposure(self) -> None:
        """Refuse to be open to a network by mistake, and say so where it is meant."""
        settings = self.settings
        if is_loopback(split_address(settings.listen, "listen")[0]):
            return
        if settings.tls is None:
            if not settings.insecure:
                raise ConfigError(
                    f"listen: {settings.listen} can be reached from outside, and nothing would be encrypted; set tls "
                    "(see docs/how-to/secure-the-hub.md), listen on 127.0.0.1, or say --insecure"
                )
            log.warning("INSECURE: %s is open to the network and nothing is encrypted", settings.listen)
        if settings.auth is None and (settings.tls is None or settings.tls.client_ca is None):
            log.warning("whoever reaches %s may publish and subscribe to everything; set auth", settings.listen)

    def _doors(self) -> list[Door]:
        """Where to listen. Raises ConfigError if a certificate cannot be used."""
        settings = self.settings
        if settings.tls is None:
            return [Door(settings.listen)]
        certificates = self.certificates = ServerCertificates(settings.tls)
        doors = [Door(settings.listen, certificates.credentials(ask_client=settings.tls.client_ca is not None))]
        if settings.auth and settings.auth.token_listen:
            split_address(settings.auth.token_listen, "auth.token_listen")
            doors.append(Door(settings.auth.token_listen, certificates.credentials(ask_client=False)))
        return doors

    async def _listen(self, doors: list[Door]) -> None:
        if self.settings.metrics:
            self._metrics = MetricsServer(self.settings.metrics, HubCollector(self), self.health)
            self.metrics_port = self._metrics.port
        try:
            ports = await self._server.start(doors)
        except OSError as error:
            if self._metrics:
                self._metrics.close()
            where = " or ".join(door.address for door in doors)
            raise ConfigError(
                f"listen: cannot listen on {where}: is another hub running there? choose another port"
            ) from error
        self.port, self.token_port = (*ports, 0)[:2]

    async def stop(self) -> None:
        """End streams, commit, close."""
        for chore in self._chores:
            chore.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await chore
        await self._server.stop(self.settings.drain_s)
        if self._metrics:
            await asyncio.to_thread(self._metrics.close)
        await self.broker.shut()

    def health(self) -> dict[str, Any]:
        """What /healthz says."""
        return {"ok": True, "log_next_offset": self.broker.tail, "subscribers": len(self.broker.subscribers)}

    async def _trim_forever(self) -> None:
        while True:
            try:
                await self.broker.trim()
            except StorageError as error:
                log.warning("retention could not be applied: %s", error)
            await asyncio.sleep(self.settings.retention.check_every_s)
