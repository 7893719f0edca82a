"""A wrong bench is refused with its line and cure; the demo bench is never empty."""

from pathlib import Path

import pytest

from fieldline.config import load, loads
from fieldline.errors import ConfigError
from fieldline_cloud.agents.maintenance.settings import MaintenanceSettings
from tests.unit.cloud.agents.doubles import SECOND, T0

HEAD = "kind: maintenance\ntechnicians:\n"
AMIRA = "  - {name: Amira, skills: [bearings], shift: {start: '06:00', end: '14:00'}}\n"


def read(text: str) -> MaintenanceSettings:
    return loads(HEAD + text, MaintenanceSettings, name="m.yaml")


@pytest.mark.parametrize(
    "path",
    [
        "config/maintenance.yaml",
        "config/demo/maintenance.yaml",
        "cloud/fieldline_cloud/agents/maintenance/sample.yaml",
    ],
)
def test_the_files_that_come_with_fieldline_are_right(path: str) -> None:
    settings = load(path, MaintenanceSettings)
    assert settings.skills_missing() == []
    assert settings.rules().templates.for_cause("bearing_wear").title


def test_at_any_hour_of_any_day_the_demo_has_somebody_at_work_for_every_cause() -> None:
    settings = load("config/demo/maintenance.yaml", MaintenanceSettings)
    crew = settings.crew()
    trades = {template.every_skill for template in (*settings.templates.values(), settings.default_template)}
    for step in range(7 * 24 * 4):
        now_ns = T0 + step * 900 * SECOND
        for skills in trades:
            assert any(crew.working_from_ns(one.name, now_ns) == now_ns for one in crew.with_skills(skills))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  - {name: A, skills: [x]}\n", "A has no shift"),
        ("  - {name: A, skills: [], shift: {start: '6:00', end: '14:00'}}\n", "at least 1 item"),
        ("  - {name: A, skills: [two words], shift: {start: '6:00', end: '14:00'}}\n", "skill 'two words'"),
        ("  - {name: A, skills: [x], shift: {start: '25:00', end: '14:00'}}\n", "'25:00' is not a time of day"),
        ("  - {name: A, skills: [x], shift: {start: '24:01', end: '14:00'}}\n", "'24:01' is not a time of day"),
        ("  - {name: A, skills: [x], shift: {start: 6.5, end: '14:00'}}\n", "6.5 is not a time of day"),
        ("  - {name: A, skills: [x], shift: {days: [monday], start: '6:00', end: '14:00'}}\n", "monday"),
        (AMIRA + AMIRA, "Amira: more than one"),
        (AMIRA + "time_zone: Mars/Olympus\n", "not a time zone"),
        (AMIRA + "time_zone: ../../etc/passwd\n", "not a time zone"),
        (AMIRA + "due: {critical_h: 48}\n", "critical_h must not be more than"),
        (AMIRA + "due: {critical_h: 0}\n", "greater than 0"),
        (AMIRA + "templates: {leak: {title: 'Mend {machine}', skill: x}}\n", "{machine} is not known"),
        (AMIRA + "templates: {two words: {title: T, skill: x}}\n", "cause 'two words'"),
        (AMIRA + "templates: {leak: {title: T}}\n", "skill is missing"),
        (AMIRA + "templates: {leak: {title: T, skill: x, work_min: 0}}\n", "greater than 0"),
        (AMIRA + "templates: {leak: {title: T, skill: x, checklist: ['{x}']}}\n", "{x} is not known"),
        (AMIRA + "machines: [{match: a//b}]\n", "filter"),
        (AMIRA + "machines: [{match: '#', fed_by: [panel-1]}]\n", "'panel-1' is no device"),
        (AMIRA + "machines: [{match: '#', criticality: huge}]\n", "criticality"),
        (AMIRA + "inhibit: [{cause: a, silences: [a]}]\n", "a would silence itself"),
        (AMIRA + "plan: {nightly_at: '25:00'}\n", "'25:00' is not a time of day"),
        (AMIRA + "notify: {routes: [{channels: [ops]}]}\n", "channel 'ops' is not under notify.channels"),
        (AMIRA + "notify: {channels: {ops: {webhook: 'https://x'}}}\n", "a webhook needs a secret"),
        (AMIRA + "notify: {channels: {ops: {webhook: 'ftp://x', secret: s}}}\n", "is no address"),
        (AMIRA + "notify: {channels: {ops: {}}}\n", "give webhook or apprise"),
        (AMIRA.replace("}}", "}, notify: [pager]}"), "Amira: channel 'pager'"),
        (AMIRA.replace("}}", "}, calendar_token: short}"), "fewer than 16 characters"),
        (AMIRA.replace("}}", "}, days_off: [{first: soon}]}"), "'soon' is not a day"),
        (AMIRA.replace("}}", "}, days_off: [{first: 2026-05-02, last: 2026-05-01}]}"), "swap them"),
    ],
)
def test_a_wrong_bench_is_refused_with_its_place_and_cure(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("{", r"\{")) as caught:
        read(text)
    assert str(caught.value).startswith("m.yaml:")


def test_a_time_of_day_may_stand_without_quotes() -> None:
    quoted = read(AMIRA)
    bare = read("  - {name: Amira, skills: [bearings], shift: {start: 06:00, end: 14:00}}\n")
    assert bare.technicians == quoted.technicians


def test_a_skill_nobody_has_is_named() -> None:
    assert read(AMIRA).skills_missing() == ["inspection"]


def test_the_readme_names_every_key() -> None:
    text = Path("cloud/fieldline_cloud/agents/maintenance/README.md").read_text()
    missing = [key for key in MaintenanceSettings.model_fields if f"`{key}`" not in text and key != "kind"]
    assert missing == []


def test_the_sample_and_the_starting_point_are_the_same_file() -> None:
    sample = Path("cloud/fieldline_cloud/agents/maintenance/sample.yaml").read_text()
    assert sample == Path("config/maintenance.yaml").read_text()
