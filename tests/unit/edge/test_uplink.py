import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fieldline.errors import HubUnavailable
from fieldline.v1 import hub_pb2
from fieldline_edge.lane_source import LaneSource
from fieldline_edge.spool import Bounds, Entry, Spool


@contextlib.asynccontextmanager
async def spool_with(tmp_path: Path, frames: int) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path / "spool.db", bounds=Bounds(1 << 22))
    await spool.open()
    for number in range(frames):
        spool.put(Entry(hub_pb2.Frame(topic="readings/a/b/c", body=bytes([number])).SerializeToString(), 1, 1))
        await spool.flush()
    try:
        yield spool
    finally:
        await spool.close()


async def test_a_reconnect_goes_on_behind_what_the_hub_has(tmp_path: Path) -> None:
    async with spool_with(tmp_path, 5) as spool:
        source = LaneSource("gateway-1", spool, spool.next_lane())

        await source.resume(3)
        found = await source.read(3, frames_max=10, bytes_max=1 << 20)
        await spool.flush()

        assert [sequence for sequence, _ in found] == [4, 5]
        assert [hub_pb2.Frame.FromString(data).skipped_frames for _, data in found] == [0, 0]
        assert spool.state.readings_acked == 3


async def test_a_hub_that_is_ahead_of_the_spool_gets_a_new_numbering(tmp_path: Path) -> None:
    async with spool_with(tmp_path, 5) as spool:
        source = LaneSource("gateway-1", spool, spool.next_lane())
        before = source.epoch

        with pytest.raises(HubUnavailable, match="numbering starts anew"):
            await source.resume(9)

        assert source.epoch == spool.state.epoch != before
        await source.resume(0)
        assert len(await source.read(0, frames_max=10, bytes_max=1 << 20)) == 5


async def test_a_new_numbering_waits_for_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    async with spool_with(tmp_path, 1) as spool:
        source = LaneSource("gateway-1", spool, spool.next_lane())
        before = source.epoch
        assert spool._store is not None
        spool._store._connection.execute("PRAGMA query_only = ON")

        with pytest.raises(HubUnavailable):
            await source.resume(9)

        assert source.epoch == spool.state.epoch == before
        assert spool.failing
        spool._store._connection.execute("PRAGMA query_only = OFF")


async def test_a_hub_that_forgot_is_told_the_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with spool_with(tmp_path, 5) as spool:
        spool.acknowledge(3)
        await spool.flush()
        source = LaneSource("gateway-1", spool, spool.next_lane())

        await source.resume(0)
        ((sequence, data), _) = await source.read(0, frames_max=10, bytes_max=1 << 20)

        assert (sequence, hub_pb2.Frame.FromString(data).skipped_frames) == (4, 3)
        assert "the hub has forgotten" in caplog.text


async def test_a_spool_started_anew_ends_the_connection_of_the_old_numbering(tmp_path: Path) -> None:
    async with spool_with(tmp_path, 2) as spool:
        source = LaneSource("gateway-1", spool, spool.next_lane())
        await source.resume(0)
        await spool.renew_epoch()

        with pytest.raises(HubUnavailable, match="started anew"):
            await source.acknowledged(2)

        assert source.epoch == spool.state.epoch
        assert spool.state.readings_acked == 0
