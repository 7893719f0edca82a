"""When the watchdog hears that all is well."""

import pytest

from fieldline_edge.service.watchdog import Watchdog, ping_every_s


def test_an_idle_spool_is_well_for_ever() -> None:
    watchdog = Watchdog(stalled_after_s=60)

    assert all(watchdog.is_well(now_s, done=5, waiting=0) for now_s in range(0, 1000, 10))


def test_a_spool_that_works_is_well() -> None:
    watchdog = Watchdog(stalled_after_s=60)

    assert all(watchdog.is_well(now_s, done=now_s, waiting=3) for now_s in range(0, 1000, 50))


def test_a_disk_that_fails_is_no_reason_for_a_restart() -> None:
    """Its failed tries, at most 30 s apart, are counted as tries."""
    watchdog = Watchdog(stalled_after_s=60)

    assert all(watchdog.is_well(now_s, done=now_s // 30, waiting=3) for now_s in range(0, 1000, 10))


def test_a_write_that_never_ends_is_not_well_after_a_minute() -> None:
    watchdog = Watchdog(stalled_after_s=60)

    judged = [watchdog.is_well(now_s, done=5, waiting=1) for now_s in (0, 30, 59, 60, 90)]

    assert judged == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("60000000", "", 30.0),
        ("60000000", "42", 30.0),
        ("60000000", "43", None),
        ("", "", None),
        ("0", "", None),
        ("-5", "", None),
        ("soon", "", None),
    ],
)
def test_signs_of_life_come_twice_as_often_as_systemd_waits_for(usec: str, pid: str, expected: float | None) -> None:
    assert ping_every_s(usec, pid, pid=42) == expected
