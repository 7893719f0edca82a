"""A wrong rule is refused with its line, its key and the cure."""

from pathlib import Path

import pytest

from fieldline.config import load, loads
from fieldline.errors import ConfigError
from fieldline.model import DeviceId, Severity
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from tests.unit.cloud.agents.doubles import PUMP

HEAD = "kind: anomaly\nrules:\n"


def rules(text: str) -> AnomalySettings:
    return loads(HEAD + text, AnomalySettings, name="a.yaml")


@pytest.mark.parametrize(
    "path",
    [
        "config/anomaly.yaml",
        "config/demo/anomaly.yaml",
        "cloud/fieldline_cloud/agents/anomaly/sample.yaml",
    ],
)
def test_the_files_that_come_with_fieldline_are_right(path: str) -> None:
    settings = load(path, AnomalySettings)
    assert not settings.rule_book().rules_for(PUMP, "vibration").is_empty


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  - match: {tag: x}\n", "has no rule"),
        ("  - range: {}\n", "sets no limit"),
        ("  - range: {hi: 5, hi_hi: 4}\n", "hi 5 must be below hi_hi 4"),
        ("  - range: {lo: 1, hi: 2, deadband: 1}\n", "deadband 1 leaves no value"),
        ("  - range: {hi: .inf}\n", "finite"),
        ("  - range: {hi: .nan}\n", "finite"),
        ("  - range: {hi: 1, severity: {lo: info}}\n", "severity names lo"),
        ("  - range: {hi: 1, severity: {hi: fatal}}\n", "fatal"),
        ("  - range: {hi: 1, on_delay_s: -1}\n", "greater than or equal to 0"),
        ("  - rate: {per_s: 0}\n", "greater than 0"),
        ("  - rate: {per_s: 1, deadband_per_s: 2}\n", "must not be more than"),
        ("  - stale: {after_s: 0}\n", "greater than or equal to 0.1"),
        ("  - {stale: {}, without: [stale]}\n", "keep one"),
        ("  - {stale: {}, match: {device: pump-1}}\n", "site/area/device"),
        ("  - {stale: {}, cause: two words}\n", "cause 'two words'"),
        ("  - {stale: {}, rnage: {}}\n", "did you mean 'range'"),
        ("  - deviation: {by: 1}\n", "setpoint_tag or setpoint"),
        ("  - deviation: {by: 1, setpoint: 5, setpoint_tag: x}\n", "one of the two only"),
        ("  - deviation: {by: 1, setpoint: 5, deadband: 2}\n", "must not be more than by 1"),
        ("  - deviation: {by: 0, setpoint: 5}\n", "greater than 0"),
        ("  - quality: {}\n", "limits nothing"),
        ("  - quality: {share: 1.0}\n", "less than 1"),
        ("  - flatline: {distinct_min: 1}\n", "greater than or equal to 2"),
        ("  - flatline: {cause: two words}\n", "cause 'two words'"),
        (
            "  - {range: {hi: 1}, suppress_while: {tag: running}}\n",
            "needs one of equals, below and above",
        ),
        ("  - suppress_while: {tag: x, below: 1, above: 2}\n", "has below and above"),
        ("  - suppress_while: {tag: x, below: 1, kinds: [nonsense]}\n", "nonsense"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_line_and_cure(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        rules(text)
    assert str(caught.value).startswith("a.yaml:3:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{flood: {raisings: 3, over: 4}}", "floods flicker"),
        ("{chatter: {raisings: 1}}", "would hold every alarm"),
        ("{shelve_h_max: 0}", "greater than 0"),
        ("{flood: {notify: fatal}}", "fatal"),
    ],
)
def test_wrong_settings_of_the_alarm_system_are_refused_with_the_cure(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loads(f"kind: anomaly\nalarms: {text}\nrules:\n  - stale: {{}}\n", AnomalySettings, name="a.yaml")


def test_the_settings_of_the_alarm_system_reach_it() -> None:
    text = "{chatter: {raisings: 0}, flood: {raisings: 20, over: 8, notify: warning}, shelve_h_max: 8, stale_h: 12}"
    spec = loads(
        f"kind: anomaly\nalarms: {text}\nrules:\n  - stale: {{}}\n", AnomalySettings, name="a.yaml"
    ).alarms.build()
    assert (spec.chatter.raisings, spec.flood.raisings, spec.flood.over) == (0, 20, 8)
    assert spec.flood.notify is Severity.WARNING
    assert (spec.shelve_ns_max, spec.stale_ns) == (8 * 3_600 * 10**9, 12 * 3_600 * 10**9)


def test_what_suppresses_is_taken_from_the_first_entry_that_says_so() -> None:
    book = rules(
        "  - {match: {tag: flow}, range: {lo: 1}, suppress_while: {tag: running, equals: false}}\n"
        "  - {match: {tag: serial}, without: [suppress_while]}\n"
        "  - {stale: {}, suppress_while: {tag: speed, below: 100}}\n"
    ).rule_book()
    assert [
        rule and rule.tag for rule in (book.rules_for(PUMP, tag).suppress_while for tag in ("flow", "serial", "x"))
    ] == ["running", None, "speed"]


def test_the_first_entry_of_each_kind_decides() -> None:
    book = rules(
        "  - {match: {device: '+/hall-a/pump-?', tag: 'vib*'}, range: {hi: 1}, cause: first}\n"
        "  - {match: {tag: vibration}, range: {hi: 2}, rate: {per_s: 3}, cause: second}\n"
        "  - {stale: {after_s: 7}}\n"
    ).rule_book()
    found = book.rules_for(PUMP, "vibration")
    other = book.rules_for(DeviceId("demo", "hall-b", "pump-2"), "vibration")
    assert found.range is not None
    assert found.rate is not None
    assert found.stale is not None
    assert (found.range.cause, found.rate.cause, found.stale.after_ns) == ("first", "second", 7_000_000_000)
    assert other.range is not None
    assert other.range.cause == "second"


def test_without_ends_the_search_for_that_kind() -> None:
    book = rules("  - {match: {tag: serial}, without: [stale]}\n  - {stale: {}}\n").rule_book()
    assert book.rules_for(PUMP, "serial").is_empty
    assert book.rules_for(PUMP, "vibration").stale is not None


def test_patterns_do_not_reach_beyond_their_level_and_mind_the_case() -> None:
    book = rules("  - {match: {device: 'demo/*/pump-2', tag: '+'}, stale: {}}\n").rule_book()
    assert book.rules_for(PUMP, "x").stale is not None
    assert book.rules_for(DeviceId("Demo", "hall-a", "pump-2"), "x").is_empty
    assert book.rules_for(DeviceId("demo", "a", "pump-22"), "x").is_empty


def test_severity_can_be_set_for_each_level() -> None:
    book = rules("  - range: {hi: 1, hi_hi: 2, severity: {hi: info}}\n").rule_book()
    found = book.rules_for(PUMP, "x").range
    assert found is not None
    assert [level.severity for level in found.levels] == [Severity.INFO, Severity.CRITICAL]


def test_the_readme_names_every_key() -> None:
    text = Path("cloud/fieldline_cloud/agents/anomaly/README.md").read_text()
    missing = [key for key in AnomalySettings.model_fields if f"`{key}`" not in text and key != "kind"]
    assert missing == []


def test_the_sample_and_the_starting_point_are_the_same_file() -> None:
    sample = Path("cloud/fieldline_cloud/agents/anomaly/sample.yaml").read_text()
    assert sample == Path("config/anomaly.yaml").read_text()
