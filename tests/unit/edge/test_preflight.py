"""What is said before a start that would fail."""

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from fieldline.errors import ConfigError
from fieldline_edge.preflight import check_spool_folder, serial_ports, serial_troubles


@pytest.fixture
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may write nowhere: root may everywhere, so the question itself is answered."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)


def test_a_folder_that_can_be_made_is_fine(tmp_path: Path) -> None:
    check_spool_folder(tmp_path / "not" / "yet" / "spool.db")


@pytest.mark.usefixtures("_nobody")
def test_a_folder_of_somebody_else_is_named_with_user_owner_and_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check_spool_folder(tmp_path / "data" / "spool.db")

    message = str(refused.value)
    assert f"may not make files in {tmp_path}, which belongs to" in message
    assert "sudo chown -R" in message


@pytest.mark.usefixtures("_nobody")
def test_a_spool_of_somebody_else_is_named(tmp_path: Path) -> None:
    spool = tmp_path / "spool.db"
    spool.touch()

    with pytest.raises(ConfigError, match=f"may not write to {spool}"):
        check_spool_folder(spool)


def test_a_folder_is_no_spool_and_a_file_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="is a folder; write the name of a file in it"):
        check_spool_folder(tmp_path)
    with pytest.raises(ConfigError, match="is a file, so"):
        check_spool_folder(tmp_path / "file" / "spool.db")


def test_ports_are_named_once_and_devices_without_one_not_at_all() -> None:
    serial = SimpleNamespace(serial=SimpleNamespace(device="/dev/ttyUSB0"))

    assert serial_ports([serial, SimpleNamespace(serial=None), object(), serial]) == ["/dev/ttyUSB0"]


def test_a_port_that_is_not_there_may_be_plugged_in(tmp_path: Path) -> None:
    (trouble,) = serial_troubles([str(tmp_path / "ttyUSB0")])

    assert "is not there; plug the adapter in" in trouble


@pytest.mark.usefixtures("_nobody")
def test_a_port_of_another_group_is_named_with_the_group_to_join(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch(stat.S_IRUSR)

    (trouble,) = serial_troubles([str(port)])

    assert "may not open it; run 'sudo usermod -aG" in trouble
