"""What is kept: all of a change or nothing, history for ever, and what version 1 has left."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fieldline.model import RemainingLife, TaskState
from fieldline.wire.plant import encode_task
from fieldline_cloud.agents.database import StorageError
from fieldline_cloud.agents.maintenance.book import Changes
from fieldline_cloud.agents.maintenance.crew import Absence
from fieldline_cloud.agents.maintenance.history import HistoryQuery
from fieldline_cloud.agents.maintenance.stock import Shelf
from fieldline_cloud.agents.maintenance.store import MaintenanceStore
from fieldline_cloud.agents.maintenance.timeline import Event, EventKind
from tests.unit.cloud.agents.maintenance.workshop import (
    AMIRA,
    MONDAY_8,
    ZOE,
    H,
    alert,
    cleared,
    configured,
    workshop,
)

VERSION_1 = """
CREATE TABLE tasks (id TEXT PRIMARY KEY, is_done INTEGER NOT NULL, task BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX tasks_open ON tasks (is_done) WHERE is_done = 0;
CREATE TABLE raised (task TEXT NOT NULL, fingerprint TEXT NOT NULL, alert TEXT NOT NULL,
    PRIMARY KEY (task, fingerprint)) WITHOUT ROWID;
CREATE TABLE handled (id INTEGER PRIMARY KEY AUTOINCREMENT, alert TEXT NOT NULL UNIQUE);
CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, content BLOB NOT NULL);
PRAGMA user_version = 1;
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MaintenanceStore]:
    opened = await MaintenanceStore.open(tmp_path)
    yield opened
    await opened.close()


async def test_what_was_saved_is_there_again(store: MaintenanceStore) -> None:
    shop = workshop()
    shop.take(alert(), alert("rate"), cleared(alert("rate")))
    shop.changes.lives["demo/hall-a/pump-2", "vibration"] = RemainingLife(1.0, 2.0, 3.0)
    shop.changes.absences = [Absence("Amira", MONDAY_8, MONDAY_8 + H, "ill")]
    shop.changes.silenced["x"] = alert("silent")
    shop.changes.answers["o1"] = ("digest", "{}")
    shop.changes.shelves["bearing 6205"] = Shelf(-2, 3)

    posted = await store.save(shop.changes)
    known = await store.load()

    assert known.works == [shop.work]
    assert known.handled == shop.changes.handled
    assert known.silenced == [alert("silent")]
    assert known.lives == shop.changes.lives
    assert known.absences == shop.changes.absences
    assert known.answers == shop.changes.answers
    assert known.shelves == shop.changes.shelves
    assert [message.id for message in await store.waiting(10)][-1] == posted == 2


async def test_version_1_is_carried_over(tmp_path: Path) -> None:
    shop = workshop()
    shop.take(alert())
    old, done = shop.task, replace(shop.task, id="d" * 12, state=TaskState.DONE)
    connection = sqlite3.connect(tmp_path / "maintenance.db")
    connection.executescript(VERSION_1)
    rows = [(old.id, 0, encode_task(old)), (done.id, 1, encode_task(done))]
    connection.executemany("INSERT INTO tasks VALUES (?, ?, ?)", rows)
    connection.execute("INSERT INTO raised VALUES (?, ?, ?)", (old.id, alert().fingerprint, alert().id))
    connection.execute("INSERT INTO handled (alert) VALUES (?)", (f"{alert().id}:raised",))
    connection.execute("INSERT INTO outbox (topic, content) VALUES (?, ?)", (old.topic, encode_task(old)))
    connection.commit()
    connection.close()

    store = await MaintenanceStore.open(tmp_path)
    known, waiting, over = await store.load(), await store.waiting(10), await store.work(done.id)
    await store.close()

    assert [(work.task, work.raised) for work in known.works] == [(old, {alert().fingerprint: alert().id})]
    assert known.handled == [f"{alert().id}:raised"]
    assert [message.topic for message in waiting] == [old.topic]
    assert over is not None


async def test_a_file_of_a_later_version_is_refused_with_the_cure(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "maintenance.db")
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StorageError, match=r"written by version 9 .* use the matching release"):
        await MaintenanceStore.open(tmp_path)


async def test_a_file_that_cannot_be_carried_over_is_left_as_it_was(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "maintenance.db")
    connection.executescript(VERSION_1)
    connection.execute("INSERT INTO tasks VALUES ('x', 0, x'ff')")
    connection.commit()
    with pytest.raises(StorageError, match="version 1 cannot be carried over to 2: task"):
        await MaintenanceStore.open(tmp_path)
    assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (1,)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (HistoryQuery(), [4, 3, 2, 1]),
        (HistoryQuery(device="d/a/1"), [3, 1]),
        (HistoryQuery(device="d/a/1", cause="leak"), [3]),
        (HistoryQuery(technician="Amira"), [2]),
        (HistoryQuery(task="t1"), [2]),
        (HistoryQuery(kind="note"), [4]),
        (HistoryQuery(from_ns=20, to_ns=40), [3, 2]),
        (HistoryQuery(before_id=3), [2, 1]),
        (HistoryQuery(count_max=2), [4, 3]),
        (HistoryQuery(device="'; DROP TABLE history; --"), []),
    ],
)
async def test_history_is_found_by_device_cause_technician_task_and_time(
    store: MaintenanceStore, query: HistoryQuery, found: list[int]
) -> None:
    events = [
        Event(10, EventKind.ALERT, "d/a/1", "wear"),
        Event(20, EventKind.TASK, "d/a/2", "wear", "t1", "Amira", data={"revision": 1}),
        Event(30, EventKind.ALERT, "d/a/1", "leak"),
        Event(40, EventKind.NOTE, text="'quoted'"),
    ]
    await store.save(Changes(events=events))
    assert [id_ for id_, _ in await store.history(query)] == found


async def test_a_slot_that_went_to_somebody_else_is_known_to_both(store: MaintenanceStore) -> None:
    shop = workshop(configured(AMIRA + ZOE))
    shop.take(alert())
    work = shop.work
    freed = replace(work, task=replace(work.task, technician="", planned_start_ns=0), declined=("Amira",))
    shop.book.settle({freed.task.id: freed}, freed, shop.changes, MONDAY_8)
    await store.save(shop.changes)
    amira, zoe = await store.slots("Amira", 0, 10), await store.slots("Zoe", 0, 10)
    assert [(event.task, event.data["revision"], theirs) for event, theirs in amira] == [(work.task.id, 2, False)]
    assert [(event.task, theirs) for event, theirs in zoe] == [(work.task.id, True)]


async def test_a_full_disk_loses_nothing_and_says_so(store: MaintenanceStore) -> None:
    shop = workshop()
    shop.take(alert())
    await store._database.run(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
    big = Changes(events=[Event(1, EventKind.NOTE, text="x" * 100_000)], revisions=shop.changes.revisions)
    with pytest.raises(StorageError, match=r"maintenance\.db: cannot be used: .*full; check free space"):
        await store.save(big)
    assert (await store.load()).works == []
