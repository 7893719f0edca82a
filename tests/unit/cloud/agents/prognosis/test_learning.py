"""Files of histories become fleets, and what is wrong with them is said with entry, file, line and cure."""

import sys
from pathlib import Path

import pytest

from fieldline.errors import ConfigError
from fieldline_cloud.agents.prognosis import learning
from fieldline_cloud.agents.prognosis.learning import learn, read_histories
from fieldline_cloud.agents.prognosis.settings import ModelSettings
from fieldline_cloud.demo.fleet import TAGS, pump, write_histories


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("pumps")
    write_histories(written, 12)
    return written


def entry(histories: Path | str) -> ModelSettings:
    return ModelSettings(device="+/+/pump-*", histories=str(histories), step_s=3_600)


def refused(histories: Path | str) -> str:
    with pytest.raises(ConfigError) as caught:
        learn([entry(histories)])
    return str(caught.value)


def test_a_folder_of_histories_becomes_a_fleet_that_foretells_a_stranger(folder: Path) -> None:
    (fleet,) = learn([entry(folder)])
    assert (fleet.tags, fleet.failed) == (TAGS, 12)
    life = fleet.model.life(pump(1_000)[:-24])
    assert life.p10 <= life.p50 <= life.p90
    assert life.p50 == pytest.approx(24, abs=8)


def test_a_pattern_names_files_and_a_folder_its_csv_files(folder: Path) -> None:
    (folder / "notes.txt").write_text("not a history")
    assert len(read_histories(str(folder))) == 12
    assert [Path(one.name).name for one in read_histories(str(folder / "pump-0[12].csv"))] == [
        "pump-01.csv",
        "pump-02.csv",
    ]


def test_nothing_there_is_said_with_the_cure(tmp_path: Path) -> None:
    said = refused(tmp_path / "none")
    assert said.startswith(f"models[0].histories: {tmp_path}/none: no such file; name a folder with one CSV")


def test_too_few_machines_are_said_with_the_cure(folder: Path) -> None:
    said = refused(folder / "pump-0[1-5].csv")
    assert "5 machines that failed, at least 10 are needed; add files, or follow single tags" in said


def test_a_bad_cell_is_named_with_file_line_column_and_cure(tmp_path: Path) -> None:
    write_histories(tmp_path, 2)
    path = tmp_path / "pump-02.csv"
    lines = path.read_text().splitlines()
    lines[16] = "1,2,12;4"
    path.write_text("\n".join(lines))
    assert refused(tmp_path) == (
        f"models[0].histories: {path}:17: column 'current': '12;4' is no number; write one like 2.5, "
        "or leave the cell empty"
    )


def test_a_file_that_is_no_text_or_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    assert "a.csv: is no UTF-8 text; save it as CSV in UTF-8" in refused(tmp_path)
    monkeypatch.setattr(learning, "FILE_BYTES_MAX", 2)
    assert "a.csv: is larger than 0 MiB; choose longer steps" in refused(tmp_path)


def test_bounds_on_files_and_numbers_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "VALUES_MAX", 500)
    assert "more than 500 numbers up to" in refused(folder)
    monkeypatch.setattr(learning, "FILES_MAX", 3)
    assert "12 files, at most 3 are learned from; name fewer" in refused(folder)


def test_what_never_changes_says_nothing_and_is_refused(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.csv").write_text("a\n" + "1\n" * 30)
    assert "no channel of the histories ever changes" in refused(tmp_path)


def test_without_scikit_learn_it_is_said_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    assert refused(folder) == ("models[0].histories: scikit-learn is not installed; run: pip install 'fieldline[rul]'")


def test_without_models_nothing_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    assert learn([]) == ()
