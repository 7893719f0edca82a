"""A new configuration in a running gateway, with real Modbus servers and a real hub."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from fieldline.config import load
from fieldline_cloud.hub.hub import Hub
from fieldline_cloud.hub.settings import HubSettings
from fieldline_edge.app import Gateway
from fieldline_edge.reload.reloader import Outcome
from fieldline_edge.settings import GatewaySettings
from fieldline_edge.spool import read_state
from tests.integration.edge.harness import FaultServer

UNTIL_S = 15.0


class Config:
    """A gateway file that is written anew for each change."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gateway.yaml"
        self.spool = folder / "spool.db"

    def write(self, ports: Sequence[int], *, hub: int = 9, more: str = "", first_ms: int = 20) -> Path:
        devices = "".join(
            f"  - {{driver: modbus, name: d{port}, area: hall, host: 127.0.0.1, port: {port}, "
            f"period_ms: {first_ms if port == ports[0] else 20}, tags: [{{name: t, address: 0, type: uint16}}]}}\n"
            for port in ports
        )
        self.path.write_text(
            f"kind: gateway\nname: gw\nsite: demo\nhub: 127.0.0.1:{hub}\nspool: {{path: {self.spool}}}\n"
            f"{more}devices:\n{devices}"
        )
        return self.path


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[Gateway]:
    gateway = Gateway(load(config.path, GatewaySettings), file=config.path)
    task = asyncio.create_task(gateway.run())
    try:
        yield gateway
    finally:
        gateway.stop()
        async with asyncio.timeout(UNTIL_S):
            await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(UNTIL_S):
        while not condition():  # noqa: ASYNC110  # any condition, so there is no event
            await asyncio.sleep(0.01)


async def test_a_driver_that_stays_misses_no_poll_and_keeps_its_connection(tmp_path: Path) -> None:
    config = Config(tmp_path)
    async with FaultServer() as stays, FaultServer() as goes, FaultServer() as comes:
        config.write([stays.port, goes.port], first_ms=500)
        async with running(config) as gateway:
            kept = gateway.drivers[0]
            await until(lambda: len(stays.requests) > 1 and len(goes.requests) > 5)

            outcome = await gateway.reloader.reload(config.write([stays.port, comes.port], first_ms=500))
            before = len(stays.requests)
            await until(lambda: len(comes.requests) > 5 and len(stays.requests) > before + 1)

            assert outcome is Outcome.DONE
            assert gateway.drivers[0] is kept
            assert (stays.connections, kept.stats.connects) == (1, 1)
            assert (kept.stats.polls_missed, kept.stats.polls_failed) == (0, 0)
            gone = len(goes.requests)
            await asyncio.sleep(0.1)
            assert len(goes.requests) == gone


async def test_what_a_removed_device_has_in_hand_reaches_the_spool(tmp_path: Path) -> None:
    config = Config(tmp_path)
    async with FaultServer() as stays, FaultServer() as goes:
        config.write([stays.port, goes.port], more="batch: {linger_ms: 60000}\n")
        async with running(config) as gateway:
            await until(lambda: gateway.drivers[1].stats.readings > 5)
            driver = gateway.drivers[1]

            await gateway.reloader.reload(config.write([stays.port], more="batch: {linger_ms: 60000}\n"))
            await gateway.spool.flush()

            assert driver.stats.readings == driver.stats.polls
            assert gateway.intake.waiting < 10
            assert len(gateway.drivers) == 1
    state = read_state(config.spool)
    assert state.readings_spooled == state.readings_polled


async def test_a_broken_file_changes_nothing_and_is_reported_with_line_and_cure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(tmp_path)
    async with FaultServer() as server:
        config.write([server.port])
        async with running(config) as gateway:
            await until(lambda: server.requests)
            drivers = list(gateway.drivers)
            config.path.write_text(config.path.read_text().replace("int16", "int17"))

            outcome = await gateway.reloader.reload(config.path)
            broken = gateway.reloader.state
            mended = await gateway.reloader.reload(config.write([server.port]))

            assert outcome is Outcome.REFUSED
            assert broken.problems[0].startswith(f"{config.path}:7: devices[0].tags[0].type: ")
            assert broken.problems[0] in caplog.text
            assert gateway.drivers == drivers
            assert mended is Outcome.UNCHANGED
            assert gateway.reloader.state.problems == ()
            assert (gateway.reloader.state.tries, gateway.reloader.state.refused) == (2, 1)


async def test_what_needs_a_restart_refuses_the_whole_file(tmp_path: Path) -> None:
    config = Config(tmp_path)
    async with FaultServer() as server, FaultServer() as other:
        config.write([server.port])
        async with running(config) as gateway:
            config.write([server.port, other.port])
            config.path.write_text(config.path.read_text().replace("site: demo", "site: elsewhere"))

            outcome = await gateway.reloader.reload(config.path)

            assert outcome is Outcome.REFUSED
            assert "site: demo -> elsewhere needs a restart" in gateway.reloader.state.problems[0]
            assert (len(gateway.drivers), gateway.settings.site) == (1, "demo")


async def test_another_hub_restarts_the_uplink_alone(tmp_path: Path) -> None:
    config = Config(tmp_path)
    async with (
        FaultServer() as server,
        Hub(HubSettings(listen="127.0.0.1:0", data=tmp_path / "hub", drain_s=0.2)) as hub,
    ):
        config.write([server.port])
        async with running(config) as gateway:
            await until(lambda: gateway.drivers[0].stats.polls > 5)

            outcome = await gateway.reloader.reload(config.write([server.port], hub=hub.port))
            await until(lambda: gateway.spool.state.readings_acked > 5)

            assert outcome is Outcome.DONE
            assert gateway.uplink.connects == 1
            assert server.connections == 1


async def test_certificates_that_cannot_be_read_refuse_the_new_file(tmp_path: Path) -> None:
    config = Config(tmp_path)
    async with FaultServer() as server:
        config.write([server.port])
        async with running(config) as gateway:
            config.write([server.port], more=f"hub_tls: {{ca: {tmp_path}/none.crt}}\n")

            outcome = await gateway.reloader.reload(config.path)

            assert outcome is Outcome.REFUSED
            assert "none.crt" in gateway.reloader.state.problems[0]
            assert gateway.settings.hub_tls is None


async def test_bounds_of_batch_and_spool_are_in_force_at_once(tmp_path: Path) -> None:
    config = Config(tmp_path)
    async with FaultServer() as server:
        config.write([server.port], more="batch: {linger_ms: 60000}\n")
        async with running(config) as gateway:
            await until(lambda: gateway.intake.waiting > 3)

            await gateway.reloader.reload(config.write([server.port], more="batch: {linger_ms: 0}\n"))

            await until(lambda: gateway.spool.state.readings_spooled > 3)
            assert gateway.drivers[0].stats.connects == 1


async def test_a_watched_file_is_taken_over_without_a_signal(tmp_path: Path) -> None:
    config = Config(tmp_path)
    async with FaultServer() as server, FaultServer() as other:
        config.write([server.port], more="reload: watch\n")
        async with running(config) as gateway:
            await until(lambda: server.requests)

            config.write([server.port, other.port], more="reload: watch\n")

            await until(lambda: other.requests)
            assert gateway.reloader.state.tries == 1


async def test_sighup_has_a_process_read_its_file_again_and_a_broken_one_leaves_it_running(tmp_path: Path) -> None:
    config = Config(tmp_path)
    async with FaultServer() as server, FaultServer() as other:
        config.write([server.port])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fieldline_edge.cli", "run", str(config.path), stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        try:
            await until(lambda: server.requests)
            config.path.write_text("kind: gateway\nname: [\n")
            os.kill(process.pid, signal.SIGHUP)
            async with asyncio.timeout(UNTIL_S):
                while b"new configuration refused" not in (line := await process.stderr.readline()):
                    assert line, "the gateway ended"
            config.write([server.port, other.port])
            os.kill(process.pid, signal.SIGHUP)
            await until(lambda: other.requests)
        finally:
            process.terminate()
            _, rest = await process.communicate()

        assert process.returncode == 0
        assert b"configuration reloaded: 1 devices added" in rest
