"""A wrong entry is refused with its line, its key and the cure."""

import re
from pathlib import Path

import pytest

from fieldline.config import load, loads
from fieldline.errors import ConfigError
from fieldline_cloud.agents.clock import clock_of
from fieldline_cloud.agents.prognosis.settings import PrognosisSettings
from tests.unit.cloud.agents.doubles import PUMP
from tests.unit.cloud.agents.prognosis.test_machines import Recorder

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
        ("  []\nmodels: []\n", "tags is missing; say which tags show wear, or name histories"),
        ("  []\nmodels:\n  - {device: '+/+/+', histories: h}\n", "step_s"),
        ("  []\nmodels:\n  - {device: pump-1, histories: h, step_s: 60}\n", "site/area/device"),
        ("  []\nmodels:\n  - {device: '+/+/+', histories: h, step_s: 60, publish_as: a b}\n", "a b"),
        (
            "  []\nmodels:\n  - {device: '+/+/+', histories: h, step_s: 60, new_since: {p: 2026-03-02T08:00Z}}\n",
            "'p' is",
        ),
        ("  []\nmodels:\n  - {device: '+/+/+', histories: h, step_s: 60, new_since: {a/b/c: 2026-03-02}}\n", "offset"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line_and_cure(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        loads("kind: prognosis\ntags:\n" + text, PrognosisSettings, name="p.yaml")

    assert re.match("p\\.yaml:[135]:", str(caught.value))


def test_a_moment_at_which_a_machine_was_new_is_unix_time_by_device() -> None:
    text = (
        "kind: prognosis\nmodels:\n  - device: '+/+/pump-*'\n    histories: h\n    step_s: 60\n"
        "    new_since: {demo/hall-a/pump-2: 1970-01-01T01:00:10+01:00}\n"
    )
    (entry,) = loads(text, PrognosisSettings, name="p.yaml").models
    fleet = entry.build(("vibration",), Recorder(), 10)
    assert fleet.new_since == {PUMP: 10 * 10**9}


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
