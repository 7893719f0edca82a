"""One publish stream, with a client played by the test."""

import asyncio
from pathlib import Path
from typing import Any

from fieldline.v1 import hub_pb2, passthrough_pb2
from fieldline_cloud.hub import Hub, HubSettings
from fieldline_cloud.hub.rpc.publish import PublishStream
from tests.integration.cloud.harness import frame, hello


class Deaf:
    """A client that sends for ever and reads nothing but its welcome."""

    def __init__(self, request: Any) -> None:
        self.reads = 0
        self._request = request
        self._welcomed = False

    async def read(self) -> Any:
        self.reads += 1
        await asyncio.sleep(0)
        return self._request

    async def write(self, _: bytes) -> None:
        if self._welcomed:
            await asyncio.Event().wait()
        self._welcomed = True


async def test_a_publisher_that_reads_no_receipts_is_read_no_further(tmp_path: Path) -> None:
    volatile = frame(0, receipt=1).SerializeToString()
    passthrough = hub_pb2.PublishRequest(frames=hub_pb2.Frames(frames=[hub_pb2.Frame.FromString(volatile)] * 100))
    deaf = Deaf(raw(passthrough))
    greeting = hub_pb2.PublishHello(hello=hello(), producer="p", epoch=1)
    settings = HubSettings.model_validate({"listen": "127.0.0.1:0", "data": tmp_path})
    async with Hub(settings) as hub:
        stream = PublishStream(hub.broker, deaf)
        work = asyncio.create_task(stream.run(raw(hub_pb2.PublishRequest(hello=greeting))))
        while deaf.reads < 5:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0)
        for _ in range(1_000):
            await asyncio.sleep(0)

        assert deaf.reads <= 12, "1,024 receipts wait; a request has 100 frames"
        assert not work.done()
        work.cancel()
        await asyncio.wait([work])


def raw(request: hub_pb2.PublishRequest) -> Any:
    """As the hub parses it: frames stay bytes."""
    return passthrough_pb2.RawPublishRequest.FromString(request.SerializeToString())
