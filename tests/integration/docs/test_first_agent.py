"""The agent of the tutorial works as it is printed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from fieldline import DeviceId, Reading, Runtime, Start
from fieldline.client.producer import FrameProducer
from fieldline.wire.frames import ENCODING_READINGS, build_frame
from fieldline.wire.readings import ReadingEncoder
from fieldline_cloud.hub import Hub, HubSettings

AGENT = Path(__file__).resolve().parents[3] / "docs" / "tutorial" / "first_agent.py"
PUMP = DeviceId("demo", "hall-a", "pump-2")
DEADLINE_S = 30


class OneFrame:
    """A gateway with a single frame to send."""

    producer = "gateway-1"
    epoch = 1

    def __init__(self, readings: list[Reading]) -> None:
        self.stored = asyncio.Event()
        self._frame = build_frame(
            topic=PUMP.readings_topic,
            key="",
            sequence=1,
            count=len(readings),
            encoding=ENCODING_READINGS,
            body=ReadingEncoder().encode(readings),
            published_at_ns=1,
        )

    async def resume(self, last_sequence: int) -> None:
        pass

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        return [(1, self._frame)] if after < 1 else []

    async def wait(self, after: int) -> None:
        await asyncio.Event().wait()

    async def acknowledged(self, sequence: int) -> None:
        self.stored.set()


async def _until_the_durable_exists(hub: Hub, durable: str) -> None:
    """A durable begins where the log ends when it is first opened: what is published before it is not for it."""
    while durable not in hub.broker.engine.cursors():  # noqa: ASYNC110  # the hub tells nobody of a new durable
        await asyncio.sleep(0.02)


async def test_the_agent_of_the_tutorial_notes_a_pump_that_shakes(tmp_path: Path) -> None:
    async with asyncio.timeout(DEADLINE_S), Hub(HubSettings(listen="127.0.0.1:0", data=tmp_path)) as hub:
        address = f"127.0.0.1:{hub.port}"
        agent = await asyncio.create_subprocess_exec(
            sys.executable, str(AGENT), env={**os.environ, "FIELDLINE_HUB": address}, stderr=subprocess.PIPE
        )
        try:
            await _until_the_durable_exists(hub, "first-agent")
            source = OneFrame(
                [Reading("vibration", 1, 2.0), Reading("vibration", 2, 10.5), Reading("speed", 2, 2600.0)]
            )
            sending = asyncio.create_task(FrameProducer(address, name="gateway-1", source=source).run())
            async with (
                Runtime(address, name="test") as runtime,
                runtime.subscribe("notes/#", start=Start.EARLIEST) as notes,
            ):
                note = await anext(aiter(notes))
            sending.cancel()
            await asyncio.wait([sending])
        finally:
            agent.send_signal(signal.SIGINT)
            _, said = await agent.communicate()

    assert note.topic == "notes/demo/hall-a/pump-2"
    assert note.text == "readings/demo/hall-a/pump-2 shakes: 10.5 mm/s"
    assert (agent.returncode, said) == (0, b"")
