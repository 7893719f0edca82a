"""What a gateway does for years must leave nothing behind: counted exactly, before and after many times.

Exact counts need no statistics: what is left behind each time is there as often as it was done. What there is more of
by half as often is in flight at the moment of the count, or waits for asyncio to sweep it up.
"""

import asyncio
import contextlib
import gc
import logging
import os
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fieldline.client.backoff import Backoff
from fieldline.config import loads
from fieldline_edge.app import Gateway
from fieldline_edge.settings import GatewaySettings
from fieldline_edge.uplink import Uplink
from tests.integration.edge.harness import FaultServer, Request, Reset

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Census:
    """What a process holds at one moment."""

    files: int
    threads: int
    tasks: int
    timers: int
    objects: Counter[str]

    @classmethod
    def taken(cls) -> "Census":
        gc.collect()
        loop = asyncio.get_running_loop()
        timers = [timer for timer in getattr(loop, "_scheduled", []) if not timer.cancelled()]
        return cls(
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            len(asyncio.all_tasks()),
            len(timers),
            # A weak reference holds nothing, and what it leads to is counted itself; dead ones come and go by hundreds.
            Counter(
                f"{type(each).__module__}.{type(each).__qualname__}"
                for each in gc.get_objects()
                if type(each) is not weakref.ReferenceType
            ),
        )

    def grown_since(self, before: "Census", *, times: int) -> dict[str, int]:
        """What there is more of than chance explains, after something was done so many times."""
        more: dict[str, int] = {
            name: self.objects[name] - before.objects[name]
            for name in self.objects
            if self.objects[name] - before.objects[name] > times // 2
        }
        for name in ("files", "threads", "tasks", "timers"):
            if (growth := getattr(self, name) - getattr(before, name)) > max(2, times // 10):
                more[name] = growth
        return more


def settings(folder: Path, ports: list[int], *, period_ms: int = 20, more: str = "") -> GatewaySettings:
    devices = "".join(
        f"  - {{driver: modbus, name: d{index}, area: hall, host: 127.0.0.1, port: {port}, period_ms: {period_ms}, "
        f"backoff_ms_max: 100, {more}tags: [{{name: t, address: 0, type: uint16}}]}}\n"
        for index, port in enumerate(ports)
    )
    text = (
        f"kind: gateway\nname: gw\nsite: demo\nhub: 127.0.0.1:9\nbatch: {{linger_ms: 10}}\n"
        f"spool: {{path: {folder / 'spool.db'}}}\ndevices:\n{devices}"
    )
    return loads(text, GatewaySettings, name="g.yaml")


@contextlib.asynccontextmanager
async def running(subject: Gateway) -> AsyncIterator[Gateway]:
    task = asyncio.create_task(subject.run())
    try:
        yield subject
    finally:
        subject.stop()
        async with asyncio.timeout(DEADLINE_S):
            await task


async def until(condition: Callable[[], object]) -> None:
    """Wait, with no timer of its own: asyncio keeps a cancelled one until it would have been due."""
    ends_s = asyncio.get_running_loop().time() + DEADLINE_S
    while not condition():
        assert asyncio.get_running_loop().time() < ends_s, "it took too long"
        await asyncio.sleep(0.01)


class Pauses(Backoff):
    """Tries again at once, and counts the tries."""

    count = 0

    def next_pause_s(self) -> float:
        self.count += 1
        return 0.01


@pytest.fixture(autouse=True)
def _no_records() -> Iterator[None]:
    """Pytest keeps every log record for its report, which would count as growth."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


async def test_polls_leave_no_timer_task_or_object_behind_while_the_hub_is_away(tmp_path: Path) -> None:
    """Complaints: +70-80 MB a day by timers (ioBroker.modbus 573); 6 GB by a queue (thingsboard-gateway 1445)."""
    async with FaultServer() as device, running(Gateway(settings(tmp_path, [device.port]))) as gateway:
        stats = gateway.drivers[0].stats
        await until(lambda: stats.polls > 100)
        device.requests.clear()
        before = Census.taken()
        polls = stats.polls

        await until(lambda: stats.polls > polls + 600)
        device.requests.clear()
        after = Census.taken()

    assert after.grown_since(before, times=600) == {}


async def test_lost_connections_leave_no_socket_or_object_behind(tmp_path: Path) -> None:
    """Complaint: a leak with Modbus TCP, the machine out of memory every day (home-assistant/core 127275)."""

    def unreliable(request: Request) -> bytes:
        if len(device.requests) % 3 == 0:
            raise Reset
        return request.good()

    async with FaultServer(unit1=unreliable) as device, running(Gateway(settings(tmp_path, [device.port]))) as gateway:
        stats = gateway.drivers[0].stats
        await until(lambda: stats.reconnects > 10)
        before = Census.taken()
        reconnects = stats.reconnects

        await until(lambda: stats.reconnects > reconnects + 50)
        after = Census.taken()

    grown = after.grown_since(before, times=50)
    grown.pop("tests.integration.edge.harness.Request", None)  # the server's own memory of what was asked
    assert grown == {}


async def test_a_silent_device_leaves_nothing_behind(tmp_path: Path) -> None:
    more = "timeout_ms: 50, retries: 0, "
    async with (
        FaultServer(unit1=lambda _: None) as device,
        running(Gateway(settings(tmp_path, [device.port], more=more))) as gateway,
    ):
        stats = gateway.drivers[0].stats
        await until(lambda: stats.requests_timed_out > 10)
        device.requests.clear()
        before = Census.taken()
        timed_out = stats.requests_timed_out

        await until(lambda: stats.requests_timed_out > timed_out + 50)
        device.requests.clear()
        after = Census.taken()

    assert after.grown_since(before, times=50) == {}


async def test_tries_to_reach_a_hub_that_is_away_leave_nothing_behind(tmp_path: Path) -> None:
    subject = Gateway(settings(tmp_path, [9]))
    pauses = Pauses()
    subject.uplink = Uplink("127.0.0.1:9", name="gw", spool=subject.spool, backoff=pauses)
    subject.parts = [replace(part, run=subject.uplink.run) if part.name == "uplink" else part for part in subject.parts]
    async with running(subject):
        await until(lambda: pauses.count > 10)
        before = Census.taken()
        count = pauses.count

        await until(lambda: pauses.count > count + 50)
        after = Census.taken()

    assert after.grown_since(before, times=50) == {}


async def test_reloads_leave_nothing_of_the_drivers_they_ended(tmp_path: Path) -> None:
    async with FaultServer() as stays, FaultServer() as comes_and_goes:
        one = settings(tmp_path, [stays.port])
        two = settings(tmp_path, [stays.port, comes_and_goes.port])
        async with running(Gateway(one)) as gateway:

            async def there_and_back(times: int) -> None:
                for _ in range(times):
                    await gateway.reloader.take_over(two)
                    await until(lambda: gateway.drivers[1].stats.polls)
                    await gateway.reloader.take_over(one)
                # Asyncio keeps cancelled timers until they would have been due: the longest is that of a request.
                polls = gateway.drivers[0].stats.polls
                await until(lambda: gateway.drivers[0].stats.polls > polls + 75)
                stays.requests.clear()
                comes_and_goes.requests.clear()

            await there_and_back(5)
            before = Census.taken()
            await there_and_back(40)
            after = Census.taken()

    assert after.grown_since(before, times=40) == {}


async def test_readings_that_wait_for_a_hub_are_on_disk_and_not_in_memory(tmp_path: Path) -> None:
    async with FaultServer() as device, running(Gateway(settings(tmp_path, [device.port]))) as gateway:
        await until(lambda: gateway.spool.commits > 20)
        frames = gateway.spool.state.frames

        await until(lambda: gateway.spool.state.frames > frames + 100)

        assert gateway.spool.held.bytes < 4096
        assert gateway.intake.waiting < 20
