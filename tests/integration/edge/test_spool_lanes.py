"""Alarms, a backlog drained newest-first, and a backlog carried by hand, at a real hub."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fieldline.errors import DecodeError, HubUnavailable
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import ENCODING_MESSAGES, build_frame
from fieldline_cloud.hub import Hub
from fieldline_edge.spool import Bounds, DrainOrder, Entry, Spool
from fieldline_edge.spool.carry import export_backlog, import_backlog
from fieldline_edge.uplink import Uplink
from tests.integration.cloud.harness import DEADLINE_S, Client, address, running_hub

FRAMES = 300


def frame(number: int, *, urgent: bool = False, size: int = 1000) -> Entry:
    data = build_frame(
        topic="alerts/a/b/c" if urgent else "readings/a/b/c",
        key="",
        sequence=0,
        count=1,
        encoding=ENCODING_MESSAGES,
        body=b"\n\x05%05d" % number + os.urandom(size),
        published_at_ns=number,
    )
    return Entry(data, 1, 1, urgent)


@contextlib.asynccontextmanager
async def a_spool(folder: Path, drain: DrainOrder = DrainOrder.IN_ORDER) -> AsyncIterator[Spool]:
    spool = Spool(folder / "spool.db", bounds=Bounds(1 << 26), drain=drain, commit_ms_max=5)
    await spool.open()
    work = asyncio.create_task(spool.run())
    try:
        yield spool
    finally:
        work.cancel()
        await asyncio.wait([work])
        await spool.close()


@contextlib.asynccontextmanager
async def sending(spool: Spool, hub: Hub, drain_bytes_per_s_max: int | None = None) -> AsyncIterator[Uplink]:
    uplink = Uplink(address(hub), name="gateway-1", spool=spool, drain_bytes_per_s_max=drain_bytes_per_s_max)
    work = asyncio.create_task(uplink.run())
    try:
        yield uplink
    finally:
        work.cancel()
        await asyncio.wait([work])


async def stored(hub: Hub, count: int) -> list[int]:
    """What the hub has, in the order it came."""
    async with asyncio.timeout(DEADLINE_S), Client(address(hub)) as client:
        subscriber = client.subscriber()
        await subscriber.open("#", start=hub_pb2.Start(earliest=True))
        found = await subscriber.take(count)
    assert hub.broker.tail == count
    return [delivery.frame.published_at_ns for delivery in found]


async def test_an_alarm_goes_ahead_of_the_whole_backlog(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub, a_spool(tmp_path) as spool:
        for number in range(FRAMES):
            spool.put(frame(number))
        spool.put(frame(10_000, urgent=True))
        await spool.flush()
        async with sending(spool, hub, drain_bytes_per_s_max=200_000):
            async with asyncio.timeout(DEADLINE_S):
                await spool.drained()
        order = await stored(hub, FRAMES + 1)

    assert order.index(10_000) < FRAMES - 50
    assert [number for number in order if number != 10_000] == list(range(FRAMES))


async def test_newest_first_fresh_frames_pass_a_backlog_that_is_held_back(tmp_path: Path) -> None:
    async with a_spool(tmp_path, DrainOrder.NEWEST_FIRST) as spool:
        for number in range(FRAMES):
            spool.put(frame(number))
        await spool.flush()
    async with running_hub(tmp_path / "hub") as hub, a_spool(tmp_path, DrainOrder.NEWEST_FIRST) as spool:
        async with sending(spool, hub, drain_bytes_per_s_max=150_000) as uplink:
            async with asyncio.timeout(DEADLINE_S):
                while not uplink.connected:  # noqa: ASYNC110  # a flag of the link, no event
                    await asyncio.sleep(0.01)
                spool.put(frame(20_000))
                await spool.drained()
        order = await stored(hub, FRAMES + 1)
        assert len(spool.state.lanes) >= 2

    assert order.index(20_000) < FRAMES - 50
    assert sorted(order) == [*range(FRAMES), 20_000]


async def test_a_carried_backlog_and_the_gateway_itself_store_each_frame_once(tmp_path: Path) -> None:
    carried_file = tmp_path / "carried.backlog"
    async with running_hub(tmp_path / "hub") as hub, a_spool(tmp_path) as spool:
        for number in range(FRAMES):
            spool.put(frame(number, size=50, urgent=number % 50 == 7))
            if number % 10 == 0:
                await spool.flush()
        await spool.flush()
        exported = export_backlog(spool.path, carried_file, gateway="gateway-1", now_ns=1)
        spool.put(frame(FRAMES))

        first = await import_backlog(carried_file, address(hub))
        again = await import_backlog(carried_file, address(hub))
        async with sending(spool, hub), asyncio.timeout(DEADLINE_S):
            await spool.flush()
            await spool.drained()
        order = await stored(hub, FRAMES + 1)

    assert (exported.frames, exported.readings, exported.damaged) == (FRAMES, FRAMES, 0)
    assert (first.frames, first.had, first.whole) == (FRAMES, 0, True)
    assert again.had == FRAMES
    assert sorted(order) == list(range(FRAMES + 1))


async def test_of_a_damaged_backlog_the_rest_is_stored_and_the_gateway_brings_what_is_behind(tmp_path: Path) -> None:
    carried_file = tmp_path / "carried.backlog"
    async with running_hub(tmp_path / "hub") as hub, a_spool(tmp_path) as spool:
        for number in range(FRAMES):
            spool.put(frame(number, size=50))
        await spool.flush()
        export_backlog(spool.path, carried_file, gateway="gateway-1", now_ns=1)
        content = bytearray(carried_file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        carried_file.write_bytes(content[: len(content) * 3 // 4])

        carried = await import_backlog(carried_file, address(hub))
        async with sending(spool, hub), asyncio.timeout(DEADLINE_S):
            await spool.drained()

    assert not carried.whole
    assert carried.damaged == 2
    assert FRAMES // 2 < carried.frames < FRAMES


async def test_what_is_no_backlog_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"kind: gateway\n")

    with pytest.raises(DecodeError, match="no exported backlog"):
        await import_backlog(tmp_path / "other", "127.0.0.1:1")


async def test_a_backlog_without_a_hub_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldline_edge.spool.carry._CONNECT_TIMEOUT_S", 0.3)
    async with a_spool(tmp_path) as spool:
        spool.put(frame(1))
        await spool.flush()
        export_backlog(spool.path, tmp_path / "carried", gateway="gateway-1", now_ns=1)

    with pytest.raises(HubUnavailable, match="no hub at"):
        await import_backlog(tmp_path / "carried", "127.0.0.1:1")
