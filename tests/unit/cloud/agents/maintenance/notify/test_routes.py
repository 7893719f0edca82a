"""Who is told, when, and how often; texts that can harm nobody."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Severity
from fieldline_cloud.agents.maintenance.notices import Notice, NoticeKind
from fieldline_cloud.agents.maintenance.notify.message import clean, deliveries_of
from fieldline_cloud.agents.maintenance.notify.pace import Rate, Repeats, retry_after_ns
from fieldline_cloud.agents.maintenance.settings import MaintenanceSettings
from tests.unit.cloud.agents.maintenance.workshop import AMIRA, MINUTE, MONDAY_8, H, alert, configured, workshop

NIGHT_23 = MONDAY_8 + 15 * H
QUIET = AMIRA.replace("}}", "}, notify: [phone], quiet: {start: '22:00', end: '05:00'}}")
NOTIFY = """
notify:
  channels:
    phone: {apprise: "json://localhost"}
    boss: {apprise: "json://localhost"}
    wall: {apprise: "json://localhost"}
  supervisor: [boss]
  routes:
    - {channels: [wall], kinds: [assigned, escalated], severity: warning, areas: [demo/hall-a]}
"""


def shop_settings() -> MaintenanceSettings:
    return configured(QUIET, NOTIFY + "templates: {bearing_wear: {title: T, skill: bearings}}\n")


def notice(kind: NoticeKind, severity: Severity = Severity.WARNING, at_ns: int = MONDAY_8) -> Notice:
    shop = workshop(shop_settings())
    shop.take(alert(severity=severity))
    return Notice(kind, shop.task, "Amira", at_ns)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (notice(NoticeKind.ASSIGNED), {"phone": MONDAY_8, "wall": MONDAY_8}),
        (notice(NoticeKind.MOVED), {"phone": MONDAY_8}),
        (notice(NoticeKind.ESCALATED), {"boss": MONDAY_8, "wall": MONDAY_8}),
        (notice(NoticeKind.UNPLANNED), {"boss": MONDAY_8}),
        (notice(NoticeKind.REMINDED, at_ns=NIGHT_23), {"phone": NIGHT_23 + 6 * H}),  # the quiet hours end at five
        (notice(NoticeKind.REMINDED, Severity.CRITICAL, NIGHT_23), {"phone": NIGHT_23}),  # critical breaks through
        (notice(NoticeKind.ASSIGNED, Severity.INFO), {"phone": MONDAY_8}),
    ],
)
def test_a_notice_goes_to_whom_it_concerns(said: Notice, expected: dict[str, int]) -> None:
    assert shop_settings().routing().channels(said) == expected


def test_a_message_says_what_where_when_and_for_whom() -> None:
    (phone, _) = deliveries_of(notice(NoticeKind.ASSIGNED), shop_settings().routing())
    assert phone.title == "A task for you: T [warning]"
    assert "demo/hall-a/pump-2 (bearing_wear)" in phone.body
    assert "Planned: Mon 02 Mar 08:00 to Mon 02 Mar 09:00" in phone.body


def test_poisoned_texts_reach_nobody() -> None:
    said = notice(NoticeKind.ASSIGNED)
    poisoned = "\x1b[2J\r\nSubject: x\u202etxet\u0000" + "A" * 100_000
    task = replace(said.task, title=poisoned, instructions=poisoned, reason=poisoned)
    (phone, _) = deliveries_of(replace(said, task=task), shop_settings().routing())
    assert not set("\x1b\r\n\u202e\x00") & set(phone.title)
    assert not set("\x1b\r\u202e\x00") & set(phone.body)
    assert len(phone.title) <= 160
    assert len(phone.body) <= 1_500


@given(st.text(max_size=500), st.booleans())
def test_a_clean_text_is_visible_and_stays_clean(text: str, lines: bool) -> None:
    once = clean(text, 100, lines=lines)
    kept = once.replace("\n", "") if lines else once
    assert len(once) <= 100
    assert not any(unicodedata.category(character).startswith("C") for character in kept)
    assert clean(once, 100, lines=lines) == once


def test_repeats_wait_longer_each_time_and_end() -> None:
    repeats = Repeats(15 * MINUTE, 2.0, 60 * MINUTE, 4)
    waits = [repeats.wait_ns(round_) for round_ in range(5)]
    assert waits == [15 * MINUTE, 30 * MINUTE, 60 * MINUTE, 60 * MINUTE, None]


def test_retries_wait_longer_each_time_and_never_longer_than_an_hour() -> None:
    waits = [retry_after_ns(attempts) for attempts in range(1, 40)]
    assert waits[:3] == [MINUTE // 6, MINUTE // 3, MINUTE * 2 // 3]
    assert waits == sorted(waits)
    assert waits[-1] == H


def test_no_more_than_so_many_in_a_minute() -> None:
    rate = Rate(2)
    assert [rate.take(0), rate.take(MINUTE // 2), rate.take(MINUTE // 2)] == [0, 0, MINUTE // 2]
    assert rate.take(MINUTE) == 0
    assert rate.take(-10 * MINUTE) == 0  # the clock was set back
