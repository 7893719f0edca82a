"""What the tests of the simulated plant share: plants to run and connections to ask them by."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pymodbus.client import AsyncModbusTcpClient

from fieldline.config import loads
from fieldline_edge.drivers.simulator.runner import PlantRunner
from fieldline_edge.drivers.simulator.settings import PlantSettings

DEADLINE_S = 15
DEMO = Path(__file__).parents[3] / "config/demo/plant.yaml"
PLANTS = sorted(DEMO.parents[1].glob("plants/*.yaml"))
MODELS = ["pump", "fan", "compressor", "meter", "climate", "registers50"]
ALL_MODELS = "".join(
    f"  - {{name: {name}, model: {name}, serve: modbus, unit: {unit}}}\n" for unit, name in enumerate(MODELS, 1)
)


def settings(text: str) -> PlantSettings:
    return loads(f"kind: plant\n{text}", PlantSettings, name="plant.yaml", environment={})


def modbus(machines: str, more: str = "") -> PlantSettings:
    return settings(f'modbus: {{listen: "127.0.0.1:0"}}\nmachines:\n{machines}{more}')


@asynccontextmanager
async def asking(runner: PlantRunner, *, timeout_s: float = 5) -> AsyncIterator[AsyncModbusTcpClient]:
    port = runner.listeners[0].port
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=timeout_s, retries=0)
    try:
        assert await client.connect()
        yield client
    finally:
        client.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain connection that is closed whatever the other side has done to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
