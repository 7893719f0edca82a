"""The disk of the edge, or of the hub, is full for a while: both go on, say so, and everything promised arrives."""

import contextlib
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from fieldline.client.channel import PUBLISH_METHOD, hello, open_channel
from fieldline.testing import HubProcess
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import build_frame, close_messages
from tests.faults.support import (
    Devices,
    Edge,
    ballast,
    check_nothing_lost,
    hub_metrics,
    running_hub,
    small_disk,
    stop_and_account,
    until,
)


async def test_a_full_disk_at_the_edge_drops_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=4096) as disk:
        async with Devices(8) as devices, running_hub(tmp_path / "hub") as hub:
            settings = {"spool_path": disk / "spool.db", "spool": {"memory_bytes_max": 1 << 16}}
            async with Edge(tmp_path, hub.address, devices.settings(period_ms=50, noise_tags=30), **settings) as edge:
                await edge.until_delivering()
                await hub.kill()  # frames that only pass through need no space
                with ballast(disk):
                    await until(lambda: edge.metrics()["spool_errors_total"] >= 2, "failed writes are counted")
                    assert edge.metrics()["spool_failing"] == 1
                    await until(lambda: edge.metrics()["readings_dropped_total"] > 500, "memory is at its bound")
                    assert "spool cannot be written: database or disk is full" in edge.said
                    assert edge.metrics()["spool_held_readings"] > 0
                await until(lambda: edge.metrics()["spool_failing"] == 0, "the spool is written again")
                await hub.start()
                assert "spool can be written again" in edge.said
                await edge.until_delivering()
                status, log = await stop_and_account(edge, hub)
    log.check_once_and_in_order()
    print(f"polled {status['readings_polled']}, dropped {status['readings_dropped']}")
    assert status["readings_dropped"] == log.declared > 500
    assert status["readings_polled"] == log.ledger.readings + log.declared
    assert len(log.ledger.producers) == 1


async def test_a_full_disk_at_the_hub_stops_acks_and_nothing_else(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=3584) as disk:  # too small for the space a hub reserves for its log
        async with Devices(5) as devices, running_hub(disk / "hub", says=tmp_path / "hub.log") as hub:
            pid = hub.pid
            async with Edge(tmp_path, hub.address, devices.settings(period_ms=50, noise_tags=10)) as edge:
                await edge.until_delivering()
                with ballast(disk):
                    await until(lambda: hub_metrics(hub)["commit_failures_total"] >= 3, "failed commits are counted")
                    assert await _answer_to_a_publisher(hub) is grpc.StatusCode.UNAVAILABLE
                    backlog = edge.metrics()["spool_backlog_frames"]
                    await until(lambda: edge.metrics()["spool_backlog_frames"] > backlog + 100, "the edge keeps it all")
                    assert hub_metrics(hub)["refusals_total"] > 0
                await until(lambda: edge.metrics()["spool_backlog_frames"] < 20, "the backlog is sent")
                status, log = await stop_and_account(edge, hub)
            assert hub.pid == pid
            assert "log cannot be written" in hub.errors
            assert "log can be written again" in hub.errors
    check_nothing_lost(status, log, devices)


async def _answer_to_a_publisher(hub: HubProcess) -> grpc.StatusCode:
    """How a publish stream with one frame ends."""
    channel = open_channel(hub.address)
    call: Any = channel.stream_stream(
        PUBLISH_METHOD,
        request_serializer=hub_pb2.PublishRequest.SerializeToString,
        response_deserializer=hub_pb2.PublishResponse.FromString,
    )()
    encoding, body = close_messages([bytes(200_000)], {}, compress_from_bytes=None)  # a small one may still fit
    frame = build_frame(
        topic="probe/full", key="", sequence=1, count=1, encoding=encoding, body=body, published_at_ns=1
    )
    try:
        greeting = hub_pb2.PublishHello(hello=hello("probe"), producer="probe", epoch=1)
        await call.write(hub_pb2.PublishRequest(hello=greeting))
        assert (await call.read()).WhichOneof("kind") == "welcome"
        await call.write(hub_pb2.PublishRequest(frames=hub_pb2.Frames(frames=[hub_pb2.Frame.FromString(frame)])))
        with contextlib.suppress(grpc.aio.AioRpcError):
            assert await call.read() is grpc.aio.EOF
        code: grpc.StatusCode = await call.code()
        return code
    finally:
        call.cancel()
        await channel.close()
