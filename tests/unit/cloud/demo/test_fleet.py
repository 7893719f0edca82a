"""The made-up fleet: the same at every call, and written as the prognosis agent wants it."""

import sys
from pathlib import Path

import pytest

from fieldline_cloud.demo import fleet
from fieldline_cloud.prognosis.histories import parse_history


def test_thirty_pumps_are_written_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        monkeypatch.setattr(sys, "argv", ["fleet", str(tmp_path / name)])
        fleet.main()
    one, two = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert len(one) == 30
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert parse_history(one[0].read_text(), "p").tags == fleet.TAGS
    assert f"30 histories written to {tmp_path / 'one'}" in capsys.readouterr().out


def test_without_anything_to_do_it_says_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fleet"])
    with pytest.raises(SystemExit):
        fleet.main()
    assert "say a folder for the histories, or --replay" in capsys.readouterr().err


def test_a_pump_is_near_its_end_when_its_history_is() -> None:
    history = fleet.pump(7)
    assert history[-1, 0] > history[:24, 0].mean() + 3.0
    assert fleet.readings_of(history[:2].tolist(), 0)[3].at_ns == 3_600 * 10**9
