"""A Pi without a clock of its own: two weeks back at boot, set by a time service later."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fieldline.config import loads
from fieldline.model import DeviceId, Quality, Reading
from fieldline.wire.frames import parse_frame
from fieldline.wire.readings import decode_readings
from fieldline_cloud.certs import Authority
from fieldline_edge.app import Gateway
from fieldline_edge.clock.keeper import ClockKeeper
from fieldline_edge.clock.port import GatewayClock
from fieldline_edge.settings import GatewaySettings

PUMP = DeviceId("demo", "hall", "pump")
CLOCK = DeviceId("demo", "gw", "clock")
NOW = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
TWO_WEEKS = 14 * 86_400 * SECOND
BACK = NOW - TWO_WEEKS  # what fake-hwclock restores


class Machine:
    """A machine's clock: the monotonic one runs, the other can be set, and a time service may say so."""

    def __init__(self, wall_ns: int = BACK, *, synchronised: bool = False) -> None:
        self.up_s = 100.0
        self.synchronised = synchronised
        self._wall_ns = wall_ns - 100 * SECOND

    def time_ns(self) -> int:
        return self._wall_ns + round(self.up_s * SECOND)

    def monotonic(self) -> float:
        return self.up_s

    def set(self, now_ns: int) -> None:
        self._wall_ns += now_ns - self.time_ns()


def gateway(folder: Path, machine: Machine, more: str = "") -> Gateway:
    text = (
        f"kind: gateway\nname: gw\nsite: demo\nhub: 127.0.0.1:9\nspool: {{path: {folder / 'spool.db'}}}\n{more}"
        "devices:\n  - {driver: modbus, name: pump, area: hall, host: 127.0.0.1, "
        "port: 9, tags: [{name: t, address: 0, type: int16}]}\n"
    )
    settings = loads(text, GatewaySettings, name="g.yaml")
    subject = Gateway(settings, clock=machine, synchronised=lambda: machine.synchronised)
    subject.keeper = ClockKeeper(
        settings,
        clock=subject.clock,
        synchronised=lambda: machine.synchronised,
        spool=subject.spool,
        intake=subject.intake,
        boot="this-boot",
    )
    return subject


async def started(subject: Gateway) -> Gateway:
    await subject.spool.open()
    subject.keeper.open()
    return subject


def read(subject: Gateway, value: float, quality: Quality = Quality.GOOD) -> None:
    """A driver hands over one reading, stamped as drivers do."""
    subject.board.put(PUMP, [Reading("t", subject.clock.time_ns(), value, quality)])


async def commit(subject: Gateway) -> None:
    subject.intake.flush()
    await subject.spool.flush()


async def sent(subject: Gateway, after: int = 0) -> dict[DeviceId, list[Reading]]:
    """What would leave for the hub now."""
    frames = await subject.spool.read(after, frames_max=1000, bytes_max=1 << 20)
    found: dict[DeviceId, list[Reading]] = {}
    for stored in await subject.keeper.put_right(frames):
        parsed = parse_frame(stored.frame)
        found.setdefault(DeviceId.from_topic(parsed.topic), []).extend(decode_readings(parsed.body))
    return found


async def test_readings_before_are_marked_and_leave_with_the_right_time_after_it_is_set(tmp_path: Path) -> None:
    machine = Machine()
    subject = await started(gateway(tmp_path, machine))
    read(subject, 1.0)
    await commit(subject)  # in the spool
    machine.up_s += 10
    read(subject, 2.0)  # in the batcher
    marked = (await sent(subject))[PUMP]

    machine.set(NOW)  # the service steps the clock, and the kernel knows a moment later
    machine.up_s += 1
    read(subject, 3.0)
    machine.synchronised = True
    await subject.keeper.look()
    machine.up_s += 1
    read(subject, 4.0)
    await commit(subject)
    after = await sent(subject)
    await subject.spool.close()

    assert marked == [Reading("t", BACK, 1.0, Quality.UNCERTAIN_CLOCK)]
    corrected = Quality.GOOD_CLOCK_CORRECTED
    assert after[PUMP] == [
        Reading("t", NOW - 10 * SECOND, 1.0, corrected),
        Reading("t", NOW, 2.0, corrected),
        Reading("t", NOW + 1 * SECOND, 3.0, corrected),
        Reading("t", NOW + 2 * SECOND, 4.0),
    ]


async def test_what_has_left_already_is_followed_by_offset_and_range(tmp_path: Path) -> None:
    machine = Machine()
    subject = await started(gateway(tmp_path, machine))
    read(subject, 1.0)
    await commit(subject)
    await sent(subject)
    subject.spool.acknowledge(1)

    machine.set(NOW)
    machine.synchronised = True
    await subject.keeper.look()
    await commit(subject)
    told = {reading.tag: reading.value for reading in (await sent(subject, 1))[CLOCK]}
    await subject.spool.close()

    assert told == {
        "offset_s": TWO_WEEKS / 1e9,
        "first_sequence": 1,
        "last_sequence": 1,
        "from_ns": BACK,
        "to_ns": BACK,
    }


async def test_a_correction_outlives_the_process_until_its_frames_are_acknowledged(tmp_path: Path) -> None:
    machine = Machine()
    first = await started(gateway(tmp_path, machine))
    read(first, 1.0)
    await commit(first)
    machine.set(NOW)
    machine.synchronised = True
    await first.keeper.look()
    await first.spool.close()

    second = await started(gateway(tmp_path, machine))
    stamps = [reading.at_ns for reading in (await sent(second))[PUMP]]
    second.spool.acknowledge(second.spool.state.last_frame)
    await second.spool.flush()
    await second.keeper.look()
    await second.spool.close()

    assert stamps == [NOW]
    assert not (tmp_path / "spool.db.clock").exists()


async def test_a_gateway_that_restarts_before_the_clock_is_set_corrects_both_lives(tmp_path: Path) -> None:
    machine = Machine()
    first = await started(gateway(tmp_path, machine))
    read(first, 1.0)
    await commit(first)
    await first.spool.close()

    machine.up_s += 5
    machine.set(NOW)
    machine.synchronised = True  # while nobody looked
    second = await started(gateway(tmp_path, machine))
    read(second, 2.0)
    await second.keeper.look()
    found = (await sent(second))[PUMP]
    await second.spool.close()

    assert [reading.at_ns for reading in found] == [NOW - 5 * SECOND, NOW]


async def test_readings_of_an_earlier_boot_keep_their_mark(tmp_path: Path) -> None:
    machine = Machine()
    first = await started(gateway(tmp_path, machine))
    read(first, 1.0)
    await commit(first)
    await first.spool.close()

    rebooted = Machine()
    second = gateway(tmp_path, rebooted)
    second.keeper._boot = "another-boot"
    await started(second)
    rebooted.set(NOW)
    rebooted.synchronised = True
    await second.keeper.look()
    found = (await sent(second))[PUMP]
    await second.spool.close()

    assert found == [Reading("t", BACK, 1.0, Quality.UNCERTAIN_CLOCK)]


async def test_frames_of_a_minute_ago_never_look_two_weeks_old(tmp_path: Path) -> None:
    machine = Machine()
    subject = await started(gateway(tmp_path, machine))
    read(subject, 1.0)
    await commit(subject)
    machine.up_s += 60

    machine.set(NOW)
    machine.synchronised = True
    await subject.keeper.look()
    oldest_at_ns = subject.spool.state.oldest_at_ns
    await subject.spool.close()

    assert oldest_at_ns == NOW - 60 * SECOND
    assert subject.clock.age_ns() == subject.clock.time_ns() == NOW


def test_the_age_of_frames_is_judged_by_the_old_time_until_they_are_shifted() -> None:
    machine = Machine()
    clock = GatewayClock(machine)
    clock.count_from(clock.machine_anchor_ns)
    machine.set(NOW)

    clock.adopt()
    before, between = clock.age_ns(), clock.time_ns()
    clock.settle()

    assert (before, between, clock.age_ns()) == (BACK, NOW, NOW)


async def test_a_trusted_clock_costs_no_file_and_no_mark(tmp_path: Path) -> None:
    subject = await started(gateway(tmp_path, Machine(NOW, synchronised=True)))
    read(subject, 1.0)
    await commit(subject)
    found = (await sent(subject))[PUMP]
    await subject.spool.close()

    assert found == [Reading("t", NOW, 1.0)]
    assert not (tmp_path / "spool.db.clock").exists()


async def test_a_jump_of_a_synchronised_clock_is_said_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(NOW, synchronised=True)
    subject = await started(gateway(tmp_path, machine))

    machine.set(NOW - 3 * SECOND)
    await subject.keeper.look()
    await subject.spool.close()

    assert subject.keeper.jumps == 1
    assert "the clock was set by -3.000 s" in caplog.text


async def test_a_clock_before_the_certificates_is_named_as_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path / "ca")
    authority.create("Test CA", now=datetime(2026, 9, 1, tzinfo=UTC))
    machine = Machine(1_000_000_000 * SECOND)
    subject = gateway(tmp_path, machine, more=f"hub_tls: {{ca: {authority.certificate_path}}}\n")

    await started(subject)
    await subject.spool.close()

    assert "certificates look not yet valid, because the clock is wrong" in caplog.text


async def test_no_frame_is_made_while_the_border_between_two_times_is_drawn(tmp_path: Path) -> None:
    machine = Machine()
    subject = await started(gateway(tmp_path, machine))
    running = asyncio.create_task(subject.intake.run())
    with subject.intake.held():
        subject.intake.put(PUMP, [Reading("t", 1, 1.0)] * 2000)  # more than a batch: due at once
        for _ in range(20):
            await asyncio.sleep(0)
        waiting = subject.intake.waiting
    async with asyncio.timeout(5):
        while subject.intake.waiting:  # noqa: ASYNC110  # a number, no event
            await asyncio.sleep(0.01)
    running.cancel()
    await subject.spool.close()

    assert waiting == 2000
