"""A gateway's uplink at a hub that asks who comes: refused, held to a rate, and let in again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fieldline import Access, Tls
from fieldline.wire.frames import ENCODING_MESSAGES, build_frame
from fieldline_cloud.hub import Hub
from fieldline_edge.spool import Bounds, Entry, Spool
from fieldline_edge.uplink import Uplink
from tests.integration.cloud.harness import address, until
from tests.integration.cloud.secure import EDGE_7, Pki, mtls_hub, now

FRAMES = 40


@contextlib.asynccontextmanager
async def sending(folder: Path, hub: Hub, tls: Tls, topic: str = "readings/site/edge-7/p") -> AsyncIterator[Uplink]:
    """An uplink with a spool of FRAMES frames behind it."""
    spool = Spool(folder / "spool.db", bounds=Bounds(1 << 22))
    await spool.open()
    for sequence in range(1, FRAMES + 1):
        spool.put(Entry(a_frame(sequence, topic), 1, 1))
    await spool.flush()
    uplink = Uplink(address(hub), name="edge-7", spool=spool, access=Access(tls), refused_pause_s=0.05)
    work = asyncio.create_task(uplink.run())
    try:
        yield uplink
    finally:
        work.cancel()
        await asyncio.wait([work])
        assert work.cancelled()
        await spool.close()


def a_frame(sequence: int, topic: str) -> bytes:
    return build_frame(
        topic=topic, key="", sequence=sequence, count=1, encoding=ENCODING_MESSAGES, body=b"\n\x01x", published_at_ns=1
    )


async def test_a_revoked_gateway_keeps_its_spool_says_so_once_and_goes_on_with_a_new_certificate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pki = Pki(tmp_path)
    tls = pki.client("edge-7")
    pki.authority.revoke("edge-7", now=now())
    async with mtls_hub(tmp_path / "hub", pki, EDGE_7) as hub, sending(tmp_path, hub, tls) as uplink:
        await until(lambda: uplink.refusals >= 4)
        assert hub.broker.tail == 0
        assert uplink.spool.state.frames == FRAMES
        assert caplog.text.count("the hub refuses our frames") == 1
        assert "was revoked" in caplog.text

        pki.client("edge-7")

        await until(lambda: hub.broker.tail == FRAMES)


async def test_a_gateway_over_its_rate_loses_nothing_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pki = Pki(tmp_path)
    slow = {**EDGE_7, "limits": {"frames_s": 20}}
    async with mtls_hub(tmp_path / "hub", pki, slow) as hub, sending(tmp_path, hub, pki.client("edge-7")) as uplink:
        await until(lambda: hub.broker.tail == FRAMES)

        assert uplink.rate_limited >= 2
        assert uplink.refusals == 0
        assert caplog.text.count("holds us to our rate") == 1
        assert "the hub refuses" not in caplog.text


async def test_a_topic_that_is_not_granted_stays_in_the_spool(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pki = Pki(tmp_path)
    async with (
        mtls_hub(tmp_path / "hub", pki, EDGE_7) as hub,
        sending(tmp_path, hub, pki.client("edge-7"), "readings/site/edge-8/p") as uplink,
    ):
        await until(lambda: uplink.refusals >= 2)

        assert hub.broker.tail == 0
        assert uplink.spool.state.frames == FRAMES
    assert "may not publish" in caplog.text
