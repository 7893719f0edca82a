"""Calendar feeds: lines as RFC 5545 wants them, the same UID in every revision, cancelled where the slot has gone."""

import re

from hypothesis import given
from hypothesis import strategies as st

from fieldline_cloud.agents.maintenance.calendar import feed
from fieldline_cloud.agents.maintenance.timeline import Event, EventKind
from tests.unit.cloud.agents.maintenance.workshop import MONDAY_8, H


def slot(revision: int = 3, cause: str = "bearing_wear") -> Event:
    data = {"revision": revision, "state": "assigned", "planned_start_ns": MONDAY_8, "planned_end_ns": MONDAY_8 + H}
    return Event(MONDAY_8, EventKind.TASK, "demo/hall-a/pump-2", cause, "0123456789ab", "Amira", data=data)


def unfolded(text: str) -> list[str]:
    return text.replace("\r\n ", "").split("\r\n")


def test_a_task_is_an_event_with_its_slot() -> None:
    lines = unfolded(feed("Amira", [(slot(), True, "Check; the pump, now")], MONDAY_8))
    assert (lines[0], lines[-2:]) == ("BEGIN:VCALENDAR", ["END:VCALENDAR", ""])
    for line in (
        "UID:task-0123456789ab@fieldline",
        "SEQUENCE:3",
        "DTSTART:20260302T080000Z",
        "DTEND:20260302T090000Z",
        "SUMMARY:Check\\; the pump\\, now",
        "LOCATION:demo/hall-a/pump-2",
        "STATUS:CONFIRMED",
    ):
        assert line in lines


def test_a_slot_that_has_gone_is_cancelled_under_the_same_uid() -> None:
    lines = unfolded(feed("Amira", [(slot(4), False, "Check")], MONDAY_8))
    assert "STATUS:CANCELLED" in lines
    assert {"UID:task-0123456789ab@fieldline", "SEQUENCE:4"} <= set(lines)


@given(st.text(max_size=300))
def test_no_title_breaks_the_lines(title: str) -> None:
    text = feed("Amira", [(slot(), True, title)], MONDAY_8)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert len([line for line in unfolded(text) if re.match(r"[A-Z-]+[:;]", line)]) == len(unfolded(text)) - 1
