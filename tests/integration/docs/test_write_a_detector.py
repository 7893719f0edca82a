"""The detector of the how-to page scores what the page says, and an agent that is told of it raises its alerts."""

import json
from pathlib import Path

import pytest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline.model import AlertState, DeviceId, Reading
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.watch import Watch

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "how-to"
PUMP = DeviceId("demo", "hall-a", "pump-1")
T0 = 1_760_000_000 * 1_000_000_000


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def settings(detector: str) -> AnomalySettings:
    learn = {
        "joint": False,
        "spread": False,
        "caution": 0,
        "tags": [{"match": {"tag": "pressure"}, "detectors": [detector], "cause": "pressure_loss"}],
    }
    text = json.dumps({"kind": "anomaly", "rules": [{"stale": {}}], "learn": learn})
    return loads(text, AnomalySettings, name="a.yaml")


def test_the_code_of_the_page_scores_as_the_page_says() -> None:
    page = (FOLDER / "write-a-detector.md").read_text()
    (program,) = [block for block in page.split("```python\n")[1:] if block.startswith("from write_a_detector")]
    exec(program.partition("```")[0], {})  # it holds asserts


def test_an_agent_raises_what_the_detector_of_the_page_finds() -> None:
    watch = Watch(settings("write_a_detector:Envelope"))
    alerts = []
    for minute in range(100):
        at_ns = T0 + minute * 60_000_000_000
        value = 4.0 + 0.1 * (minute % 2) if minute < 80 else 9.0
        alerts += watch.readings(PUMP, [Reading("pressure", at_ns, value)], at_ns)
    alerts += watch.flush(at_ns)
    (alert,) = [alert for alert in alerts if alert.state is AlertState.RAISED]
    assert (alert.rule, alert.cause) == ("envelope", "pressure_loss")
    assert alert.message == "pressure is 9 where 4 to 4.1 is usual"


@pytest.mark.parametrize("name", ["nobody", "no_such_module:Envelope", "write_a_detector:Nobody", "json:loads"])
def test_a_detector_that_is_none_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        settings(name)
