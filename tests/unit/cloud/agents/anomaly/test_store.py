"""What is saved comes back, whole or not at all."""

import sqlite3
from pathlib import Path

import pytest

from fieldline.model import Alert, AlertState, Severity
from fieldline_cloud.agents.anomaly.store import AnomalyStore
from fieldline_cloud.agents.anomaly.tag import TagState
from fieldline_cloud.agents.database import StorageError
from tests.unit.cloud.agents.doubles import PUMP, T0

STATE = TagState(PUMP, "vibration", T0, {"range": {"hi": [2, T0, T0]}, "stale": [0, 0, 0]})
RAISED = Alert(PUMP, "vibration", "range_hi", "bearing_wear", Severity.WARNING, AlertState.RAISED, T0, "high")


async def test_everything_saved_is_there_for_the_next_process(tmp_path: Path) -> None:
    store = await AnomalyStore.open(tmp_path)
    await store.save([STATE], [("gateway-1", 2**64 - 1, 2**64 - 1)], [RAISED])
    await store.close()
    following = await AnomalyStore.open(tmp_path)
    saved = await following.load()
    waiting = await following.waiting()
    await following.close()
    assert (saved.tags, saved.raised, saved.seen) == ([STATE], [RAISED], [("gateway-1", 2**64 - 1, 2**64 - 1)])
    assert [alert.topic for alert in waiting] == ["alerts/demo/hall-a/pump-2"]


async def test_sent_alerts_leave_the_outbox_and_cleared_ones_the_list_of_raised(tmp_path: Path) -> None:
    cleared = Alert(
        PUMP, "vibration", "range_hi", "bearing_wear", Severity.WARNING, AlertState.CLEARED, T0, "well", T0 + 1
    )
    store = await AnomalyStore.open(tmp_path)
    await store.save([], [], [RAISED, cleared])
    waiting = await store.waiting()
    await store.sent(waiting[0].id)
    assert len(await store.waiting()) == 1
    assert (await store.load()).raised == []
    await store.close()


async def test_a_failed_save_leaves_nothing_behind(tmp_path: Path) -> None:
    store = await AnomalyStore.open(tmp_path)
    with pytest.raises(StorageError, match=r"anomaly\.db"):
        await store.save([STATE], [(object(), 1, 1)], [])  # type: ignore[list-item]  # sqlite cannot bind it
    saved = await store.load()
    await store.close()
    assert saved.tags == []


async def test_a_file_of_another_version_is_refused_with_the_cure(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "anomaly.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageError, match=r"version 99.*move the file away"):
        await AnomalyStore.open(tmp_path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "anomaly.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(StorageError, match=r"anomaly\.db"):
        await AnomalyStore.open(tmp_path)
