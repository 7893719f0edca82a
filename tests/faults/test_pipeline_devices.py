"""A device dies and returns, another answers exceptions: theirs is told as quality, the others do not notice."""

import asyncio
from itertools import groupby
from pathlib import Path

from fieldline.model import Quality
from tests.faults.support import Devices, Edge, Log, running_hub, stop_and_account, until

PERIOD_MS = 100
PHASE_S = 4.0
PHASES_MAX = 3  # a busy machine costs a poll now and then; a device in trouble would cost polls in every phase
HEALTHY = (1, 2, 3)
REFUSING = 4


async def test_one_dead_and_one_refusing_device_leave_the_others_alone(tmp_path: Path) -> None:
    async with Devices(4) as line, Devices(1) as dying, running_hub(tmp_path / "hub") as hub:
        settings = line.settings(period_ms=PERIOD_MS) + dying.settings(period_ms=PERIOD_MS, prefix="dying")
        edge = Edge(tmp_path, hub.address, settings)
        async with edge:
            await edge.until_delivering()
            calm = await _polls(line)
            await dying.vanish()
            line.exceptions[REFUSING] = 4
            for _ in range(PHASES_MAX):
                troubled = await _polls(line)
                if troubled >= 0.95 * calm:
                    break
            line.exceptions.clear()
            await dying.listen()
            again = dying.answered(1), line.answered(REFUSING)
            await until(lambda: dying.answered(1) > again[0] + 5, "the dead device is read again")
            await until(lambda: line.answered(REFUSING) > again[1] + 5, "the other gives values again")
            status, log = await stop_and_account(edge, hub)
    print(f"polls of the healthy devices in {PHASE_S:g} s: calm {calm}, troubled {troubled}")
    assert troubled >= 0.95 * calm
    assert status["readings_polled"] == log.ledger.readings
    log.check_once_and_in_order()
    for unit in HEALTHY:
        assert set(log.qualities(f"counter-{unit}")) == {Quality.GOOD}
        assert log.counts(f"counter-{unit}") == list(range(1, line.answered(unit) + 1))
    assert _history(log, f"counter-{REFUSING}") == [Quality.GOOD, Quality.BAD_EXCEPTION, Quality.GOOD]
    assert _history(log, "dying-1") == [Quality.GOOD, Quality.BAD_NOT_CONNECTED, Quality.GOOD]
    for device in (f"counter-{REFUSING}", "dying-1"):
        bad = [quality for quality in log.qualities(device) if quality.is_bad]
        assert len(bad) >= 0.9 * PHASE_S * 1000 / PERIOD_MS, "a device in trouble says so once in each period"


async def _polls(line: Devices) -> int:
    """How often the healthy devices are read in one phase."""
    before = sum(map(line.answered, HEALTHY))
    await asyncio.sleep(PHASE_S)
    return sum(map(line.answered, HEALTHY)) - before


def _history(log: Log, device: str) -> list[Quality]:
    """The qualities of a device, each run of equal ones as one."""
    return [quality for quality, _ in groupby(log.qualities(device))]
