"""No score that is worth an alert is passed over for being small."""

import math

import pytest

from fieldline.model import DeviceId
from fieldline_cloud.agents.anomaly.learned.signs import Manner
from fieldline_cloud.agents.anomaly.learned.spec import Caution, LearnSpec, Treatment
from fieldline_cloud.agents.anomaly.learned.thresholds import Thresholds, Tuned
from fieldline_cloud.agents.anomaly.learned.tracks import Track
from fieldline_cloud.agents.anomaly.learned.worth import Worth

PUMP = DeviceId("demo", "hall-a", "pump-1")


@pytest.mark.parametrize("log_factor", [None, -9.0, 0.0, 9.0])
@pytest.mark.parametrize("rule", ["shipped", "unknown"])
def test_what_is_below_the_least_is_worth_nothing_whatever_people_said(rule: str, log_factor: float | None) -> None:
    thresholds = Thresholds()
    if log_factor is not None:
        said = Tuned(f"{PUMP}:flow:{rule}", log_factor, 0)
        thresholds.adopt({"tuned": [[said.fingerprint, said.log_factor, 0, []]], "raisings": []})
    worth = Worth({"shipped": Manner(0, 0, threshold=1.5)}, Caution(6.0), thresholds)
    track = Track(0, PUMP, "flow", LearnSpec(), Treatment.VALUE)
    for learned_ns in (0, 10**15, 10**18):
        assert worth.score(track, rule, worth.least(rule) * 0.999, learned_ns, 0) < 1.0


def test_it_is_no_lower_than_it_must_be() -> None:
    worth = Worth({"shipped": Manner(0, 0, threshold=1.5)}, Caution(0.0), Thresholds())
    track = Track(0, PUMP, "flow", LearnSpec(), Treatment.VALUE)
    assert math.isclose(worth.score(track, "shipped", worth.least("shipped"), 10**18, 0), 1.0)
