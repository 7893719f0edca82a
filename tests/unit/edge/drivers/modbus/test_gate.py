"""A device is not asked while the spool is full and was told to stop polling; what is missing is counted."""

from collections.abc import Sequence

from fieldline.model import DeviceId, Reading
from fieldline_edge.drivers.base import SystemClock
from fieldline_edge.drivers.modbus.driver import ModbusDriver
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings


class Gate:
    def __init__(self) -> None:
        self.paused = True
        self.missing = 0

    def skipped(self, readings: int) -> None:
        self.missing += readings


class Sink:
    def __init__(self) -> None:
        self.readings: list[Reading] = []

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        self.readings += readings


async def test_a_paused_poll_asks_nothing_and_counts_what_is_missing() -> None:
    tags = [{"name": name, "address": address, "type": "int16"} for name, address in (("a", 0), ("b", 1000))]
    device = {"driver": "modbus", "name": "d", "area": "x", "host": "127.0.0.1", "port": 9, "tags": tags}
    gate, sink = Gate(), Sink()
    driver = ModbusDriver(
        [ModbusDeviceSettings.model_validate(device)], site="s", sink=sink, clock=SystemClock(), gate=gate
    )
    (poller,) = driver._pollers
    (group,) = poller._asker.groups

    await poller.poll(group)

    assert (gate.missing, sink.readings) == (2, [])
    assert (driver.stats.polls, driver.stats.polls_skipped, driver.stats.requests) == (0, 1, 0)

    gate.paused = False
    await poller.poll(group)

    assert driver.stats.polls == 1
    assert [reading.tag for reading in sink.readings] == ["a", "b"]
