"""Who is asked whether the clock is right."""

import time
from pathlib import Path

import pytest

from fieldline_edge.clock import synchronised
from fieldline_edge.clock.synchronised import boot_id, kernel_synchronised, sync_source
from fieldline_edge.settings import Unsynchronised


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a time service and no clock of its own, as far as files tell."""
    (tmp_path / "timesync").mkdir()
    monkeypatch.setattr(synchronised, "_TIME_SERVICES", (tmp_path / "timesync",))
    monkeypatch.setattr(synchronised, "_RTC", tmp_path / "rtc")
    return tmp_path


def test_the_kernel_answers_one_way_or_the_other() -> None:
    assert kernel_synchronised() in (True, False)


def test_trust_asks_nobody(places: Path) -> None:
    assert sync_source(Unsynchronised.TRUST) is not kernel_synchronised
    assert sync_source(Unsynchronised.TRUST)()


def test_mark_asks_the_kernel_everywhere(places: Path) -> None:
    (places / "timesync").rmdir()

    assert sync_source(Unsynchronised.MARK) is kernel_synchronised


def test_auto_asks_on_a_pi_with_a_time_service(places: Path) -> None:
    assert sync_source(Unsynchronised.AUTO) is kernel_synchronised


def test_auto_trusts_a_machine_that_no_service_will_ever_set(places: Path) -> None:
    (places / "timesync").rmdir()

    assert sync_source(Unsynchronised.AUTO)()


@pytest.mark.parametrize(("off_s", "asked"), [(0, False), (7200, False), (14 * 86_400, True), (-1e9, True)])
def test_auto_trusts_a_clock_with_a_battery_and_not_one_without(places: Path, off_s: float, asked: bool) -> None:
    (places / "rtc").write_text(f"{round(time.time() + off_s)}\n")

    assert (sync_source(Unsynchronised.AUTO) is kernel_synchronised) is asked


def test_a_boot_has_a_name() -> None:
    assert boot_id() == boot_id() != ""
