"""All rules, findings, orders, ticks and restarts at once: who only reads what is published knows the state of all."""

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.config import loads
from fieldline.model import Alert, AlertState, DeviceId, Quality, Reading, Severity
from fieldline.wire.plant import decode_alert, encode_alert
from fieldline_cloud.agents.anomaly.alarms.desk import AlarmDesk
from fieldline_cloud.agents.anomaly.finding import Finding
from fieldline_cloud.agents.anomaly.monitor import Monitor
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.tag import TagState
from tests.unit.cloud.agents.doubles import SECOND, T0

RULES = """
kind: anomaly
alarms:
  chatter: {raisings: 2, window_s: 30, quiet_s: 20}
  flood: {raisings: 3, over: 2}
rules:
  - match: {tag: flow}
    range: {lo: 10, hi: 60, hi_hi: 90, deadband: 1, latch: true}
    rate: {per_s: 30, window_s: 3}
    deviation: {setpoint_tag: set, by: 20, deadband: 2, on_delay_s: 1}
    flatline: {after_s: 5, distinct_min: 3}
    quality: {for_s: 3, share: 0.5, window_s: 10, readings_min: 5}
    suppress_while: {tag: running, equals: false, after_s: 2}
  - stale: {after_s: 4}
"""
DEVICES = [DeviceId("demo", area, name) for area in ("a", "b") for name in ("p1", "p2")]
ODD = [None, True, False, 0, 1, "off", math.nan, math.inf, 10**400, 5.0, 20.0, 20.5, 50.0, 70.0, 95.0]
RULE_NAMES = [
    "range_lo",
    "range_hi",
    "range_hi_hi",
    "rate",
    "deviation",
    "flatline",
    "quality_long",
    "stale",
    "learned",
]

readings = st.builds(
    Reading,
    tag=st.sampled_from(["flow", "flow", "running", "set", "x"]),
    at_ns=st.integers(0, 0),
    value=st.sampled_from(ODD),
    quality=st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.UNCERTAIN_STALE]),
)
orders = st.fixed_dictionaries(
    {
        "do": st.sampled_from(["acknowledge", "shelve", "unshelve", "out_of_service", "return_to_service"]),
        "device": st.sampled_from(DEVICES),
        "rule": st.sampled_from(RULE_NAMES),
        "until_clear": st.booleans(),
    }
)
steps = st.one_of(
    st.tuples(st.just("read"), st.tuples(st.sampled_from(DEVICES), readings, st.sampled_from([0, 0, 0, -5, -90, 90]))),
    st.tuples(st.just("order"), orders),
    st.tuples(st.just("find"), st.tuples(st.sampled_from(DEVICES), st.floats(0, 2), st.sampled_from(Severity))),
    st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.just("restart"), st.none()),
)


class Plant:
    """An agent's monitor, and somebody who reads what it publishes."""

    def __init__(self) -> None:
        self.settings = loads(RULES, AnomalySettings, name="anomaly.yaml")
        self.monitor = self.new()
        self.saved: dict[tuple[DeviceId, str], TagState] = {}
        self.now_ns = T0
        self.shown: dict[str, Alert] = {}

    def new(self) -> Monitor:
        return Monitor(self.settings.rule_book(), tags_max=100, board=self.settings.alarms.build())

    def take(self, alerts: list[Alert]) -> None:
        for alert in alerts:
            assert decode_alert(encode_alert(alert)) == alert
            before = self.shown.get(alert.fingerprint)
            if before is not None and before.state is not AlertState.CLEARED and before.raised_at_ns:
                assert alert.id == before.id  # a raising ends before the next begins
            self.shown[alert.fingerprint] = alert

    def read(self, device: DeviceId, reading: Reading, skew_s: int) -> None:
        told = Reading(reading.tag, self.now_ns + skew_s * SECOND, reading.value, reading.quality)
        self.take(self.monitor.readings(device, [told], self.now_ns))
        self.now_ns += SECOND // 2

    def order(self, order: dict[str, Any]) -> None:
        rest = {"for_s": 10, "until_clear": order["until_clear"]} if order["do"] == "shelve" else {}
        asked = {"do": order["do"], "alarm": f"{order['device']}:flow:{order['rule']}", "note": "x", **rest}
        reply, alerts = AlarmDesk(self.monitor).answer(json.dumps(asked).encode(), "console", self.now_ns)
        assert reply["status"] in ("done", "refused")
        self.take(alerts)

    def find(self, device: DeviceId, score: float, severity: Severity) -> None:
        found = Finding(device, "flow", "learned", "unusual", severity, self.now_ns, score, 0.5, score, "odd")
        self.take(self.monitor.judge(found, self.now_ns))

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_ns += SECOND
            self.take(self.monitor.tick(self.now_ns, live=True))

    def restart(self) -> None:
        for state in self.monitor.take_changes():
            rules = json.loads(json.dumps(state.rules))
            self.saved[state.device, state.tag] = TagState(state.device, state.tag, state.last_at_ns, rules)
        self.monitor = self.new()
        assert self.monitor.restore(self.saved.values(), (), self.now_ns) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=60))
def test_what_was_published_last_is_the_state_of_every_alarm_whatever_happens(told: list[tuple[str, Any]]) -> None:
    plant = Plant()
    for kind, what in told:
        if kind == "read":
            plant.read(*what)
        elif kind == "order":
            plant.order(what)
        elif kind == "find":
            plant.find(*what)
        elif kind == "wait":
            plant.wait(what)
        else:
            plant.restart()
        for record in plant.monitor.board.records():
            shown = plant.shown.get(record.alert.fingerprint)
            assert record.state is (AlertState.CLEARED if shown is None else shown.state)
    plant.wait(700)  # all floods are over
    hidden = [record for record in plant.monitor.board.records() if "flood" in record.suppressed_by]
    assert hidden == []
