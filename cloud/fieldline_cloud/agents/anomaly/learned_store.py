"""What is learned, in the agent's database: states of devices, thresholds, alerts that verdicts may come for, verdicts.

Functions on a connection; AnomalyStore calls them within its transactions.
"""

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any, Final

from fieldline.model import DeviceId, VerdictKind
from fieldline_cloud.agents.anomaly.learned.blobs import from_blob, to_blob
from fieldline_cloud.agents.anomaly.learned.thresholds import RAISINGS_MAX, Outcome, Raising, Tuned
from fieldline_cloud.agents.anomaly.watch import LearnedState

__all__ = ["SCHEMA", "LearnedChanges", "LearnedSaved", "keep", "load"]

VERDICTS_MAX: Final = 100_000
"""Verdicts kept for whoever asks how thresholds came about; past that the oldest go."""
_DAY_NS: Final = 86_400 * 1_000_000_000

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS learned (device TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS thresholds (
    fingerprint TEXT PRIMARY KEY, log_factor REAL NOT NULL, at_ns INTEGER NOT NULL, steps TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS raisings (
    alert_id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, detector TEXT NOT NULL, raised_at_ns INTEGER NOT NULL,
    kind TEXT, said_at_ns INTEGER NOT NULL, step REAL NOT NULL);
CREATE TABLE IF NOT EXISTS verdicts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, taken_at_ns INTEGER NOT NULL, said_at_ns INTEGER NOT NULL,
    alert_id TEXT NOT NULL, fingerprint TEXT NOT NULL, kind TEXT NOT NULL, said_by TEXT NOT NULL, note TEXT NOT NULL,
    refused TEXT, factor_before REAL NOT NULL, factor_after REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class LearnedChanges:
    """What has to be kept since the last save."""

    states: list[LearnedState] = field(default_factory=list)
    tuned: list[Tuned] = field(default_factory=list)
    raisings: list[Raising] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LearnedSaved:
    """What a former run left. `said` is who spoke when within the last day, oldest first."""

    states: list[LearnedState] = field(default_factory=list)
    tuned: list[Tuned] = field(default_factory=list)
    raisings: list[Raising] = field(default_factory=list)
    said: list[tuple[str, int]] = field(default_factory=list)
    damaged: int = 0


def keep(connection: sqlite3.Connection, changes: LearnedChanges) -> None:
    """Within the caller's transaction."""
    connection.executemany(
        "INSERT OR REPLACE INTO learned VALUES (?, ?)",
        ((str(state.device), to_blob(state.snapshot)) for state in changes.states),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO thresholds VALUES (?, ?, ?, ?)",
        ((each.fingerprint, each.log_factor, each.at_ns, json.dumps(each.steps)) for each in changes.tuned),
    )
    connection.executemany("INSERT OR REPLACE INTO raisings VALUES (?, ?, ?, ?, ?, ?, ?)", map(_row, changes.raisings))
    connection.executemany(
        "INSERT INTO verdicts (taken_at_ns, said_at_ns, alert_id, fingerprint, kind, said_by, note, refused, "
        "factor_before, factor_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        map(_audit, changes.outcomes),
    )
    if changes.raisings:
        _trim(connection, "raisings", RAISINGS_MAX)
    if changes.outcomes:
        _trim(connection, "verdicts", VERDICTS_MAX)


def load(connection: sqlite3.Connection) -> LearnedSaved:
    """All of it. States that cannot be read are left out and counted."""
    states, damaged = [], 0
    for device, content in connection.execute("SELECT device, content FROM learned"):
        try:
            states.append(LearnedState(DeviceId(*device.split("/")), from_blob(content)))
        except ValueError:
            damaged += 1
    tuned = [
        Tuned(fingerprint, log_factor, at_ns, tuple(json.loads(steps)))
        for fingerprint, log_factor, at_ns, steps in connection.execute("SELECT * FROM thresholds")
    ]
    raisings = [
        Raising(alert_id, fingerprint, detector, raised_at_ns, None if kind is None else VerdictKind(kind), said, step)
        for alert_id, fingerprint, detector, raised_at_ns, kind, said, step in connection.execute(
            "SELECT * FROM raisings ORDER BY rowid"
        )
    ]
    said = connection.execute(
        "SELECT said_by, taken_at_ns FROM verdicts WHERE refused IS NULL AND taken_at_ns > "
        "(SELECT coalesce(max(taken_at_ns), 0) FROM verdicts) - ? ORDER BY id",
        (_DAY_NS,),
    ).fetchall()
    return LearnedSaved(states, tuned, raisings, said, damaged)


def _row(raising: Raising) -> tuple[Any, ...]:
    return (
        raising.alert_id,
        raising.fingerprint,
        raising.detector,
        raising.raised_at_ns,
        None if raising.kind is None else raising.kind.value,
        raising.said_at_ns,
        raising.step,
    )


def _audit(outcome: Outcome) -> tuple[Any, ...]:
    verdict = outcome.verdict
    return (
        outcome.at_ns,
        verdict.at_ns,
        verdict.alert_id,
        verdict.fingerprint,
        verdict.kind.value,
        verdict.by,
        verdict.note,
        None if outcome.refusal is None else outcome.refusal.value,
        outcome.before,
        outcome.after,
    )


def _trim(connection: sqlite3.Connection, table: str, rows_max: int) -> None:
    connection.execute(
        f"DELETE FROM {table} WHERE rowid <= (SELECT max(rowid) FROM {table}) - ?",  # our own names
        (rows_max,),
    )
