"""A gateway and a hub that has lost what it had acknowledged: said aloud, counted, and gone on from."""

import asyncio
import logging
from pathlib import Path

import pytest

from fieldline.v1 import hub_pb2
from fieldline.wire.frames import ENCODING_MESSAGES, build_frame
from fieldline_edge.spool import Bounds, Entry, Spool
from fieldline_edge.uplink import Uplink
from tests.integration.cloud.harness import DEADLINE_S, Client, address, running_hub


def frame(number: int) -> Entry:
    data = build_frame(
        topic="readings/a/b/c",
        key="",
        sequence=number,
        count=1,
        encoding=ENCODING_MESSAGES,
        body=b"\n\x01x",
        published_at_ns=number,
    )
    return Entry(data, 1, 1)


async def acknowledged(spool: Spool, sequence: int) -> None:
    """The spool notes acks with its next write."""
    async with asyncio.timeout(DEADLINE_S):
        while spool.state.acked_sequence < sequence:
            await asyncio.sleep(0.01)
            await spool.flush()


async def test_a_hub_that_has_forgotten_is_named_and_the_gap_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    spool = Spool(tmp_path / "spool.db", bounds=Bounds(1 << 22))
    await spool.open()
    async with running_hub(tmp_path / "first") as hub:
        port = hub.port
        sending = asyncio.create_task(Uplink(address(hub), name="gateway-1", spool=spool).run())
        for number in range(1, 4):
            spool.put(frame(number))
        await spool.flush()
        await acknowledged(spool, 3)
    async with running_hub(tmp_path / "second", port=port) as hub:
        spool.put(frame(4))
        await spool.flush()
        await acknowledged(spool, 4)
        async with Client(address(hub)) as client:
            subscriber = client.subscriber()
            await subscriber.open("#", start=hub_pb2.Start(earliest=True))
            (delivery,) = await subscriber.take(1)
        sending.cancel()
        await asyncio.wait([sending])
    await spool.close()

    assert any("the hub has forgotten frames" in record.getMessage() for record in caplog.records)
    assert (delivery.frame.sequence, delivery.frame.skipped_frames) == (4, 3)
