"""A wrong entry is refused with its line, its key and the cure."""

from pathlib import Path

import pytest

from fieldline.config import load, loads
from fieldline.errors import ConfigError
from fieldline_cloud.agents.clock import clock_of
from fieldline_cloud.agents.prognosis.settings import PrognosisSettings
from tests.unit.cloud.agents.doubles import PUMP

FOLDER = Path("cloud/fieldline_cloud/agents/prognosis")


@pytest.mark.parametrize("path", ["config/prognosis.yaml", FOLDER / "sample.yaml"])
def test_the_files_that_come_with_fieldline_are_right(path: Path) -> None:
    (wear,) = load(path, PrognosisSettings).wears()

    assert wear.pattern.matches(PUMP, "vibration")
    assert (wear.limit, wear.bucket_s) == (7.1, 3_600.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  - match: {tag: x}\n", "limit"),
        ("  - {match: {tag: x}, limit: .nan}\n", "finite"),
        ("  - {match: {device: pump-1}, limit: 5}\n", "site/area/device"),
        ("  - {match: {tag: x}, limit: 5, warmup: 2}\n", "greater than or equal to 8"),
        ("  - {match: {tag: x}, limit: 5, horizon: 2}\n", "did you mean 'horizon_h'"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line_and_cure(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        loads("kind: prognosis\ntags:\n" + text, PrognosisSettings, name="p.yaml")

    assert str(caught.value).startswith("p.yaml:3:")


def test_it_may_live_by_the_clock_of_a_simulated_plant() -> None:
    text = "kind: prognosis\nclock: {}\ntags:\n  - {{match: {{tag: x}}, limit: 5}}\n"

    settings = loads(text.format('"1000,5000,60"'), PrognosisSettings, name="p.yaml")

    assert clock_of(settings.clock, wall_ns=lambda: 1_010)() == 5_600
    with pytest.raises(ConfigError, match="is no clock"):
        loads(text.format('"noon"'), PrognosisSettings, name="p.yaml")


def test_the_readme_names_every_key() -> None:
    text = (FOLDER / "README.md").read_text()

    assert [key for key in PrognosisSettings.model_fields if f"`{key}`" not in text and key != "kind"] == []


def test_the_sample_and_the_starting_point_are_the_same_file() -> None:
    assert (FOLDER / "sample.yaml").read_text() == Path("config/prognosis.yaml").read_text()
