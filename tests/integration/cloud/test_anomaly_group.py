"""Members of a group of anomaly agents share the devices, leave them to each other, and die without losing an alarm."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fieldline import Runtime, Start
from fieldline.model import Alert, AlertState, DeviceId, Reading
from fieldline.wire.plant import decode_alert
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import address, running_hub

SECOND = 1_000_000_000
T0 = 1_760_000_000 * SECOND
PUMPS = [DeviceId("demo", "hall-a", f"pump-{number}") for number in range(8)]
RULES = [{"match": {"tag": "vibration"}, "cause": "bearing_wear", "range": {"hi": 4.5}}]


class Member:
    """One process of the group, to be killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def said(self, text: str) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while line := await self.process.stderr.readline():
                if text.encode() in line:
                    return
        raise AssertionError(f"the member ended without saying {text!r}")

    async def end(self, number: signal.Signals) -> int | None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(30):
            await self.process.communicate()
        return self.process.returncode


@asynccontextmanager
async def member(hub: Hub, folder: Path, name: str) -> AsyncIterator[Member]:
    config = folder / f"{name}.yaml"
    settings = {"kind": "anomaly", "group": "watch", "data": str(folder / name), "save_every_s": 0.05, "rules": RULES}
    config.write_text(json.dumps(settings))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from fieldline.cli import main; main()"),
        *("agent", "anomaly", str(config), "--hub", address(hub)),
        stderr=asyncio.subprocess.PIPE,
    )
    one = Member(process)
    try:
        await one.said("subscribed")
        yield one
    finally:
        await one.end(signal.SIGKILL)


@asynccontextmanager
async def group_of_two(folder: Path) -> AsyncIterator[tuple[Runtime, Member, Member]]:
    async with (
        running_hub(folder) as hub,
        Runtime(address(hub), name="gateway") as runtime,
        member(hub, folder, "one") as one,
        member(hub, folder, "two") as two,
    ):
        yield runtime, one, two


async def tell(runtime: Runtime, second: int, value: float) -> None:
    """One reading of every pump."""
    for pump in PUMPS:
        reading = Reading("vibration", T0 + second * SECOND, value)
        await runtime.publish_readings(pump.readings_topic, [reading], key=str(pump), stored=True)


async def alerts_until(runtime: Runtime, state: AlertState, devices: int) -> list[Alert]:
    """All alerts from the beginning until so many devices have one in this state."""
    found: list[Alert] = []
    async with asyncio.timeout(60), runtime.subscribe("alerts/#", start=Start.EARLIEST) as messages:
        async for message in messages:
            found.append(decode_alert(message.content))
            if len({alert.device for alert in found if alert.state is state}) == devices:
                break
    return found


def check_once_each(alerts: list[Alert]) -> None:
    """One raising and one clearing for each pump; an alert that is published twice says the same."""
    said = {(alert.device, alert.state, alert.id): alert for alert in alerts}
    expected = [(pump, state) for pump in PUMPS for state in (AlertState.RAISED, AlertState.CLEARED)]
    found = [(device, state) for device, state, _ in said]
    assert sorted(map(str, found)) == sorted(map(str, expected))
    assert all(said[alert.device, alert.state, alert.id] == alert for alert in alerts)


async def test_a_member_that_leaves_hands_its_devices_over(tmp_path: Path) -> None:
    async with group_of_two(tmp_path) as (runtime, one, two):
        await tell(runtime, 1, 2.0)
        await tell(runtime, 2, 6.0)
        await alerts_until(runtime, AlertState.RAISED, len(PUMPS))
        assert await one.end(signal.SIGTERM) == 0
        await tell(runtime, 3, 2.0)
        alerts = await alerts_until(runtime, AlertState.CLEARED, len(PUMPS))
        assert two.process.returncode is None
    check_once_each(alerts)


async def test_a_member_that_is_killed_loses_no_alarm_and_raises_none_twice(tmp_path: Path) -> None:
    async with group_of_two(tmp_path) as (runtime, one, _):
        await tell(runtime, 1, 2.0)
        telling = asyncio.create_task(tell(runtime, 2, 6.0))
        await alerts_until(runtime, AlertState.RAISED, 2)
        await one.end(signal.SIGKILL)  # in the middle of it
        await telling
        await alerts_until(runtime, AlertState.RAISED, len(PUMPS))
        await tell(runtime, 3, 2.0)
        alerts = await alerts_until(runtime, AlertState.CLEARED, len(PUMPS))
    check_once_each(alerts)


async def test_a_member_that_comes_takes_over_what_the_others_know(tmp_path: Path) -> None:
    async with (
        running_hub(tmp_path) as hub,
        Runtime(address(hub), name="gateway") as runtime,
        member(hub, tmp_path, "one"),
    ):
        await tell(runtime, 1, 6.0)
        await alerts_until(runtime, AlertState.RAISED, len(PUMPS))
        async with member(hub, tmp_path, "two"):
            await tell(runtime, 2, 6.0)
            await tell(runtime, 3, 2.0)
            alerts = await alerts_until(runtime, AlertState.CLEARED, len(PUMPS))
    check_once_each(alerts)
