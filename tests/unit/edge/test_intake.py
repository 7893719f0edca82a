import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fieldline.limits import BATCH_STRING_BYTES_MAX
from fieldline.model import Alert, AlertState, DeviceId, Quality, Reading, Severity
from fieldline.v1 import hub_pb2
from fieldline.wire.readings import decode_readings
from fieldline_edge.batcher import Batch, Batcher
from fieldline_edge.drivers.base import SystemClock
from fieldline_edge.framing import Framer
from fieldline_edge.intake import Intake
from fieldline_edge.spool import Bounds, Spool
from fieldline_edge.spool.policy import with_gap

PUMP = DeviceId("demo", "hall", "pump")


def readings(count: int, *, first: int = 0) -> list[Reading]:
    return [Reading(f"t{number % 3}", (first + number) * 1000, number / 4) for number in range(count)]


def test_a_frame_says_what_it_holds() -> None:
    batch = Batch(PUMP, tuple(readings(9)))

    framed = Framer().frame(batch, now_ns=5)

    (entry,) = framed.entries
    frame = hub_pb2.Frame.FromString(entry.frame)
    assert (frame.topic, frame.key, frame.count) == ("readings/demo/hall/pump", "pump", 9)
    assert frame.encoding == hub_pb2.ENCODING_READINGS
    assert (entry.readings, entry.at_ns, frame.published_at_ns) == (9, 5, 5)
    assert sorted(decode_readings(frame.body), key=lambda one: one.at_ns) == list(batch.readings)


def test_a_batch_over_the_codecs_limits_is_split_and_not_dropped() -> None:
    texts = [Reading("note", number, f"{number:05}" + "x" * 250) for number in range(600)]

    framed = Framer().frame(Batch(PUMP, tuple(texts)), now_ns=5)

    frames = [hub_pb2.Frame.FromString(entry.frame) for entry in framed.entries]
    assert len(frames) > 1
    assert [one for frame in frames for one in decode_readings(frame.body)] == texts
    assert framed.refused == 0


def test_a_reading_no_frame_can_hold_is_refused_and_the_others_go_on() -> None:
    bad = Reading("note", 2, "x" * (BATCH_STRING_BYTES_MAX + 1))

    framed = Framer().frame(Batch(PUMP, (*readings(3), bad)), now_ns=5)

    assert framed.refused == 1
    assert "tag 'note' of demo/hall/pump" in framed.reason
    assert sum(entry.readings for entry in framed.entries) == 3


@contextlib.asynccontextmanager
async def running(
    tmp_path: Path, *, linger_s: float = 0.02, waiting_readings_max: int = 100_000
) -> AsyncIterator[tuple[Intake, Spool]]:
    spool = Spool(tmp_path / "spool.db", bounds=Bounds(1 << 22), commit_ms_max=0)
    await spool.open()
    batcher = Batcher(linger_s=linger_s, readings_max=100, bytes_max=65536, waiting_readings_max=waiting_readings_max)
    intake = Intake(batcher, spool, clock=SystemClock())
    tasks = [asyncio.create_task(part) for part in (intake.run(), spool.run())]
    try:
        yield intake, spool
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await spool.close()


async def test_readings_reach_the_spool_when_they_have_lingered(tmp_path: Path) -> None:
    async with running(tmp_path) as (intake, spool), asyncio.timeout(5):
        intake.put(PUMP, readings(3))
        await spool.wait(0)

        assert spool.state.readings_spooled == spool.state.readings_polled == 3
        assert intake.waiting == 0


async def test_a_full_batch_does_not_wait(tmp_path: Path) -> None:
    async with running(tmp_path, linger_s=3600.0) as (intake, spool), asyncio.timeout(5):
        intake.put(PUMP, readings(1))
        await asyncio.sleep(0)  # it sleeps for an hour now
        intake.put(PUMP, readings(100))
        await spool.wait(0)

        assert spool.state.readings_spooled >= 100


async def test_flush_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path, linger_s=3600.0) as (intake, spool):
        intake.put(PUMP, readings(7))
        intake.flush()
        await spool.flush()

        assert spool.state.readings_spooled == 7


async def test_qualities_are_counted_by_family(tmp_path: Path) -> None:
    async with running(tmp_path) as (intake, _):
        intake.put(
            PUMP,
            [
                Reading("a", 1, 1.0),
                Reading("a", 1, 1.0, Quality.UNCERTAIN_STALE),
                Reading("a", 1, None, Quality.BAD),
                Reading("a", 1, None, Quality.BAD_TIMEOUT),
            ],
        )
        intake.put(PUMP, [])

        assert (intake.good, intake.uncertain, intake.bad) == (1, 1, 2)


async def test_what_is_dropped_before_the_spool_is_told_to_the_hub(tmp_path: Path) -> None:
    async with running(tmp_path, linger_s=3600.0, waiting_readings_max=100) as (intake, spool):
        intake.put(PUMP, readings(60))
        intake.put(PUMP, readings(60, first=60))
        intake.put(PUMP, [Reading("note", 2, "x" * 300)])
        intake.flush()
        await spool.flush()

        (first, *_) = await spool.read(0, frames_max=10, bytes_max=1 << 20)
        frame = hub_pb2.Frame.FromString(with_gap(first))
        assert frame.skipped_frames >= 1
        state = spool.state
        assert state.readings_polled == 121 == state.readings_spooled + state.readings_dropped
        assert frame.skipped_count == state.readings_dropped > 0


async def test_while_a_full_spool_stops_polling_readings_are_counted_and_the_hub_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as (intake, spool), asyncio.timeout(5):
        spool.pause.is_on = True
        assert intake.paused
        intake.put(PUMP, readings(3))
        intake.skipped(4)
        spool.pause.is_on = False

        intake.put(PUMP, readings(2))
        await spool.wait(0)
        (stored,) = await spool.read(0, frames_max=10, bytes_max=1 << 20)

        frame = hub_pb2.Frame.FromString(with_gap(stored))
        assert (intake.not_taken, frame.count, frame.skipped_frames, frame.skipped_count) == (7, 2, 2, 7)
        assert spool.state.readings_polled == spool.state.readings_spooled + spool.state.readings_dropped == 9


async def test_an_alert_waits_while_no_frame_may_be_made(tmp_path: Path) -> None:
    alert = Alert(PUMP, "t", "edge_hi", "limit", Severity.WARNING, AlertState.RAISED, 5, "hot")
    async with running(tmp_path) as (intake, spool), asyncio.timeout(5):
        with intake.held():
            intake.alert(alert)
            await spool.flush()
            assert (intake.alerts, spool.state.frames) == (0, 0)
        await spool.urgent_lane()

        assert (intake.alerts, spool.state.frames, spool.state.readings_spooled) == (1, 1, 0)


async def test_safe_returns_when_everything_up_to_the_mark_is_on_disk(tmp_path: Path) -> None:
    async with running(tmp_path) as (intake, spool), asyncio.timeout(5):
        intake.put(PUMP, readings(3))
        intake.put(DeviceId("demo", "hall", "fan"), readings(2))
        mark = intake.mark()

        await intake.safe(mark)

        assert spool.state.readings_spooled == 5


async def test_safe_waits_for_a_batch_that_is_still_gathering(tmp_path: Path) -> None:
    async with running(tmp_path, linger_s=3600.0) as (intake, spool), asyncio.timeout(5):
        intake.put(PUMP, readings(3))
        waiting = asyncio.create_task(intake.safe(intake.mark()))
        await asyncio.sleep(0)
        assert not waiting.done()

        intake.flush()
        await waiting

        assert spool.state.readings_spooled == 3


async def test_nothing_put_is_safe_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as (intake, _), asyncio.timeout(5):
        await intake.safe(intake.mark())


async def test_readings_in_the_spool_s_memory_are_not_safe_before_a_commit(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", bounds=Bounds(1 << 22), commit_ms_max=0)
    await spool.open()
    intake = Intake(Batcher(linger_s=0.0, readings_max=100, bytes_max=65536), spool, clock=SystemClock())
    try:
        intake.put(PUMP, readings(3))
        intake.flush()
        waiting = asyncio.create_task(intake.safe(intake.mark()))
        await asyncio.sleep(0)
        assert not waiting.done()  # nobody has committed
        assert await spool.flush()
        async with asyncio.timeout(5):
            await waiting
    finally:
        await spool.close()


async def test_a_driver_in_a_hurry_waits_while_frames_are_held(tmp_path: Path) -> None:
    async with running(tmp_path, linger_s=3600.0) as (intake, spool), asyncio.timeout(5):
        intake.put(PUMP, readings(3))
        with intake.held():
            intake.hurry_all()
            assert intake.waiting == 3
        intake.hurry_all()
        await intake.safe(intake.mark())

        assert spool.state.readings_spooled == 3
