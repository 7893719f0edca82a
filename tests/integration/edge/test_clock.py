"""A Pi that boots two weeks back, with a real device, a real spool and a real hub."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fieldline import Runtime, Start
from fieldline.config import loads
from fieldline.model import Quality, Reading
from fieldline_cloud.hub.hub import Hub
from fieldline_cloud.hub.settings import HubSettings
from fieldline_edge.app import Gateway
from fieldline_edge.settings import GatewaySettings
from tests.integration.edge.harness import FaultServer
from tests.integration.edge.test_gateway import free_port, until

TWO_WEEKS_NS = 14 * 86_400 * 1_000_000_000
MINUTE_NS = 60_000_000_000


class Pi:
    """A machine without a clock of its own; `synchronise` is what a time service does."""

    def __init__(self) -> None:
        self.behind_ns = TWO_WEEKS_NS
        self.synchronised = False

    def time_ns(self) -> int:
        return time.time_ns() - self.behind_ns

    def monotonic(self) -> float:
        return time.monotonic()

    def synchronise(self) -> None:
        self.behind_ns = 0
        self.synchronised = True


def settings(folder: Path, *, device: int, hub: int) -> GatewaySettings:
    text = (
        f"kind: gateway\nname: gw\nsite: demo\nhub: 127.0.0.1:{hub}\nbatch: {{linger_ms: 20}}\n"
        f"spool: {{path: {folder / 'spool.db'}}}\ndevices:\n"
        f"  - {{driver: modbus, name: pump, area: hall, host: 127.0.0.1, port: {device}, period_ms: 50, "
        "tags: [{name: t, address: 7, type: uint16}]}\n"
    )
    return loads(text, GatewaySettings, name="g.yaml")


@contextlib.asynccontextmanager
async def running(settings: GatewaySettings, pi: Pi) -> AsyncIterator[Gateway]:
    gateway = Gateway(settings, clock=pi, synchronised=lambda: pi.synchronised)
    task = asyncio.create_task(gateway.run())
    try:
        yield gateway
    finally:
        gateway.stop()
        async with asyncio.timeout(15):
            await task


async def collected(port: int, topic: str, enough: Callable[[list[Reading]], object]) -> list[Reading]:
    found: list[Reading] = []
    async with (
        Runtime(f"127.0.0.1:{port}", name="checker") as runtime,
        runtime.subscribe(topic, start=Start.EARLIEST) as stored,
        asyncio.timeout(20),
    ):
        while not enough(found):
            delivery = await stored.next_delivery()
            assert delivery is not None
            found.extend(delivery.readings())
    return found


def is_now(reading: Reading) -> bool:
    return abs(reading.at_ns - time.time_ns()) < MINUTE_NS


async def test_what_waited_for_the_hub_arrives_with_the_right_time(tmp_path: Path) -> None:
    pi, port = Pi(), free_port()
    async with FaultServer() as device, running(settings(tmp_path, device=device.port, hub=port), pi) as gateway:
        await until(lambda: gateway.spool.commits > 5)
        pi.synchronise()
        await until(lambda: gateway.keeper.trusted)
        before = gateway.spool.state.readings_spooled
        await until(lambda: gateway.spool.state.readings_spooled > before + 8)

        async with Hub(HubSettings(listen=f"127.0.0.1:{port}", data=tmp_path / "hub", drain_s=0.2)):
            found = await collected(
                port, "readings/demo/hall/pump", lambda r: any(each.quality is Quality.GOOD for each in r)
            )

    assert all(is_now(reading) for reading in found)
    times = [reading.at_ns for reading in found]
    assert times == sorted(set(times))
    corrected = [reading for reading in found if reading.quality is Quality.GOOD_CLOCK_CORRECTED]
    assert len(corrected) > 5
    assert gateway.keeper.corrected_frames > 0


async def test_what_had_arrived_is_followed_by_the_offset_that_puts_it_right(tmp_path: Path) -> None:
    pi = Pi()
    async with (
        FaultServer() as device,
        Hub(HubSettings(listen="127.0.0.1:0", data=tmp_path / "hub", drain_s=0.2)) as hub,
        running(settings(tmp_path, device=device.port, hub=hub.port), pi) as gateway,
    ):
        await until(lambda: gateway.spool.commits and gateway.spool.state.readings_acked > 5)
        pi.synchronise()
        told = await collected(hub.port, "readings/demo/gw/clock", lambda r: len(r) >= 5)
        early = await collected(hub.port, "readings/demo/hall/pump", lambda r: len(r) > 3)

    correction = {reading.tag: reading.value for reading in told}
    offset_s, from_ns, to_ns = correction["offset_s"], correction["from_ns"], correction["to_ns"]
    assert isinstance(offset_s, float)
    assert isinstance(from_ns, int)
    assert isinstance(to_ns, int)
    assert abs(offset_s - TWO_WEEKS_NS / 1e9) < 1
    assert correction["first_sequence"] == 1
    for reading in early:
        assert reading.quality is Quality.UNCERTAIN_CLOCK
        assert from_ns <= reading.at_ns <= to_ns
        assert abs(reading.at_ns + round(offset_s * 1e9) - time.time_ns()) < MINUTE_NS
