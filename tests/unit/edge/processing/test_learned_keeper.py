import asyncio
import json
from pathlib import Path

import pytest

from fieldline.model import DeviceId, Reading
from fieldline_edge.processing import learned_keeper
from fieldline_edge.processing.anomaly import AnomalySpec, Unusual
from fieldline_edge.processing.learned_keeper import LearnedKeeper
from fieldline_edge.processing.stage import ProcessingStats

S = 1_000_000_000
PUMP = DeviceId("demo", "hall", "pump")


def learner(tag: str, readings: int = 0, *, every_ns: int = 0) -> Unusual:
    made = Unusual(AnomalySpec(PUMP, tag, every_ns=every_ns), stats=ProcessingStats())
    for number in range(1, readings + 1):
        made.put(Reading(tag, number * S, float(number % 7)), 0.0)
    return made


def keeper(path: Path, *learners: Unusual) -> LearnedKeeper:
    return LearnedKeeper(path, lambda: {(PUMP, each.spec.tag): each for each in learners})


def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    before = [learner("a", 100), learner("b", 70)]
    keeper(tmp_path / "spool.learned", *before).save()

    after = [learner("b"), learner("c"), learner("a")]
    keeper(tmp_path / "spool.learned", *after).open()

    assert [each.learning for each in after] == [False, True, False]
    assert after[2].snapshot() == before[0].snapshot()


def test_a_damaged_line_costs_one_tag_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "spool.learned"
    keeper(path, learner("a", 100), learner("b", 100), learner("c", 100)).save()
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:500] + "\n" + "[]\n" + lines[2])

    after = [learner(tag) for tag in "abc"]
    keeper(path, *after).open()

    assert [each.learning for each in after] == [False, True, False]
    assert "cannot be read" in caplog.text


def test_means_over_another_time_are_learned_anew_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper(tmp_path / "spool.learned", learner("a", 100)).save()

    after = learner("a", every_ns=10 * S)
    keeper(tmp_path / "spool.learned", after).open()

    assert after.learning
    assert "learns anew" in caplog.text


def test_a_tag_has_a_bounded_line(tmp_path: Path) -> None:
    path = tmp_path / "spool.learned"
    long = Unusual(AnomalySpec(PUMP, "a", every_ns=0), stats=ProcessingStats())
    for number in range(1, 20_000):
        long.put(Reading("a", number * 400 * S, 1.0 / number), 0.0)

    keeper(path, long).save()

    assert 1_000 < path.stat().st_size < 12_000
    assert set(json.loads(path.read_text())) == {"device", "tag", "learned"}


def test_a_disk_that_does_not_take_it_is_said_once_and_the_old_file_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool.learned"
    subject = keeper(path, learner("a", 100))
    subject.save()
    before = path.read_bytes()
    path.with_name("spool.learned.new").mkdir()

    subject.save()
    subject.save()

    assert path.read_bytes() == before
    assert caplog.text.count("cannot be saved") == 1


async def test_it_is_saved_while_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_keeper, "SAVE_EVERY_S", 0.01)
    path = tmp_path / "spool.learned"
    task = asyncio.create_task(keeper(path, *(learner(f"t{number}", 60) for number in range(50))).run())

    async with asyncio.timeout(10):
        while not path.exists():  # noqa: ASYNC110  # a file, no event
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(path.read_text().splitlines()) == 50


def test_nothing_learned_leaves_no_file(tmp_path: Path) -> None:
    subject = keeper(tmp_path / "spool.learned")

    subject.open()
    subject.save()

    assert list(tmp_path.iterdir()) == []
