"""The audit file keeps every line, within its bound."""

import json
from pathlib import Path

import pytest

from fieldline_edge.commands.audit import Audit


def audit(path: Path, *, bytes_max: int = 1 << 20) -> Audit:
    return Audit(path, bytes_max=bytes_max, files_max=2)


def test_lines_are_appended_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "log" / "audit.jsonl"
    audit(path).append({"id": "1"})
    audit(path).append({"id": "2"})
    assert [record["id"] for record in audit(path).latest()] == ["1", "2"]


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"id": "1"}\n{"id": "2", "val')
    audit(path).append({"id": "3"})
    assert [record["id"] for record in audit(path).latest()] == ["1", "3"]


def test_a_full_file_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = audit(path, bytes_max=40)
    for number in range(5):
        log.append({"id": f"{number:020}"})
    kept = [json.loads(one.read_text())["id"] for one in (path, tmp_path / "audit.jsonl.1", tmp_path / "audit.jsonl.2")]
    assert [int(one) for one in kept] == [4, 3, 2]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        audit(tmp_path).append({"id": "1"})
