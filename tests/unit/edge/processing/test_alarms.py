from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Alert, AlertState, DeviceId, Quality, Reading, Severity
from fieldline.wire.plant import decode_alert, encode_alert
from fieldline_edge.processing.alarms import AlarmSpec, Level, Watch, forgotten

S = 1_000_000_000
PUMP = DeviceId("demo", "hall", "pump")
HI = Level("hi", 80.0, True, Severity.WARNING)
HI_HI = Level("hi_hi", 95.0, True, Severity.CRITICAL)
LO = Level("lo", 10.0, False, Severity.WARNING)


def watch(*levels: Level, **spec: Any) -> Watch:
    return Watch(AlarmSpec(PUMP, "temperature", "degC", levels or (LO, HI, HI_HI), "overheating", **spec), 0.0)


class Told:
    """A watch, and what it has told."""

    def __init__(self, subject: Watch) -> None:
        self.watch = subject
        self.alerts: list[Alert] = []

    def put(self, at_s: float, value: Any, quality: Quality = Quality.GOOD) -> None:
        self.alerts += self.watch.put(Reading("temperature", round(at_s * S) + S, value, quality), at_s) or ()

    def tick(self, now_s: float) -> None:
        if now_s >= self.watch.due_at_s:
            self.alerts += self.watch.tick(now_s, round(now_s * S) + S)

    @property
    def states(self) -> list[str]:
        return [f"{alert.rule} {alert.state.value}" for alert in self.alerts]


def test_a_value_beyond_a_limit_raises_and_one_back_inside_clears() -> None:
    told = Told(watch())

    for at_s, value in enumerate([50, 81, 96, 94, 79, 50]):
        told.put(at_s, value)

    assert told.states == ["edge_hi raised", "edge_hi_hi raised", "edge_hi_hi cleared", "edge_hi cleared"]
    first, last = told.alerts[0], told.alerts[-1]
    assert (first.message, first.severity) == ("81 degC is above the hi limit 80 degC", Severity.WARNING)
    assert (first.raised_at_ns, first.evidence[0].value, first.evidence[0].limit) == (2 * S, 81.0, 80.0)
    assert (last.id, last.state, last.cleared_at_ns) == (first.id, AlertState.CLEARED, 5 * S)


def test_the_deadband_holds_an_alarm_that_hovers_around_its_limit() -> None:
    told = Told(watch(HI, deadband=5.0))

    for at_s, value in enumerate([81, 79, 81, 76, 75]):
        told.put(at_s, value)

    assert told.states == ["edge_hi raised", "edge_hi cleared"]
    assert told.alerts[1].cleared_at_ns == 5 * S


def test_a_short_peak_is_no_alarm_where_there_is_a_delay() -> None:
    told = Told(watch(HI, on_delay_ns=3 * S, off_delay_ns=2 * S))

    for at_s, value in enumerate([81, 81, 79, 81, 81, 81, 82, 79, 81, 79, 79, 79]):
        told.put(at_s, value)

    assert [(state, alert.raised_at_ns // S) for state, alert in zip(told.states, told.alerts, strict=True)] == [
        ("edge_hi raised", 7),
        ("edge_hi cleared", 7),
    ]
    assert "82 degC" in told.alerts[0].message
    assert told.alerts[1].cleared_at_ns == 12 * S


def test_a_delay_ends_although_no_further_reading_comes() -> None:
    told = Told(watch(HI, on_delay_ns=3 * S, off_delay_ns=2 * S))
    told.put(0, 81)
    assert told.watch.due_at_s == 3.0

    told.tick(2.9)
    assert told.alerts == []
    told.tick(3.0)
    told.put(4, 70)
    told.tick(6.0)

    assert told.states == ["edge_hi raised", "edge_hi cleared"]
    assert told.watch.due_at_s == float("inf")


def test_bad_readings_neither_raise_nor_clear_and_begin_delays_again() -> None:
    told = Told(watch(HI, on_delay_ns=3 * S))

    told.put(0, 81)
    told.put(1, None, Quality.BAD_TIMEOUT)
    told.tick(5)
    assert told.alerts == []
    told.put(6, 81)
    told.put(9, 81)
    told.put(10, 5.0, Quality.BAD_RANGE)

    assert told.states == ["edge_hi raised"]


def test_silence_raises_after_its_time_and_the_next_value_clears() -> None:
    told = Told(watch(missing_ns=5 * S, message="look at the sensor"))

    told.put(0, 50)
    told.put(3, None, Quality.BAD_TIMEOUT)
    told.tick(4.9)
    assert told.alerts == []
    told.tick(5.0)
    told.tick(60.0)
    told.put(61, 50)

    assert told.states == ["edge_missing raised", "edge_missing cleared"]
    assert told.alerts[0].message == "look at the sensor: no usable value for 5 s; the last reading was BAD_TIMEOUT"


def test_a_device_that_never_answers_is_missed_too() -> None:
    told = Told(watch(missing_ns=5 * S))

    told.tick(5.0)

    assert told.states == ["edge_missing raised"]


def test_a_restart_neither_raises_again_nor_forgets() -> None:
    before = Told(watch())
    before.put(0, 81)
    raised = {alert.fingerprint: alert for alert in before.alerts}
    after = Told(watch())

    after.watch.restore(raised)
    after.put(100, 82)
    assert after.alerts == []
    after.put(101, 70)

    assert after.states == ["edge_hi cleared"]
    assert after.alerts[0].id == before.alerts[0].id


def test_two_raisings_never_share_an_id_although_the_clock_says_the_same() -> None:
    told = Told(watch(HI))

    for at_s, value in ((5, 81), (6, 70), (5, 81)):
        told.put(at_s, value)

    raised = [alert for alert in told.alerts if alert.state is AlertState.RAISED]
    assert len({alert.id for alert in raised}) == 2


def test_an_alarm_taken_out_of_the_configuration_is_cleared() -> None:
    told = Told(watch(HI))
    told.put(0, 81)

    ended = forgotten(told.alerts[0], 9 * S)

    assert (ended.state, ended.id, ended.cleared_at_ns) == (AlertState.CLEARED, told.alerts[0].id, 9 * S)


@given(
    st.lists(
        st.tuples(st.integers(-5, 20), st.floats(-1e9, 1e9) | st.none() | st.sampled_from([9, 81, 96])), max_size=40
    ),
    st.sampled_from([0, 3 * S]),
    st.sampled_from([0, 4 * S]),
    st.sampled_from([None, 7 * S]),
)
def test_raised_and_cleared_take_turns_and_every_alert_can_be_encoded(
    steps: list[tuple[int, float | None]], on_ns: int, off_ns: int, missing_ns: int | None
) -> None:
    told = Told(watch(on_delay_ns=on_ns, off_delay_ns=off_ns, missing_ns=missing_ns, deadband=2.0))
    at_s = now_s = 0
    for gap_s, value in steps:
        at_s += gap_s
        now_s += abs(gap_s)
        told.tick(now_s)
        quality = Quality.GOOD if value is not None else Quality.BAD
        told.alerts += told.watch.put(Reading("temperature", at_s * S, value, quality), now_s) or ()

    open_now: dict[str, str] = {}
    for alert in told.alerts:
        assert decode_alert(encode_alert(alert)) == alert
        if alert.state is AlertState.RAISED:
            assert alert.fingerprint not in open_now
            open_now[alert.fingerprint] = alert.id
        else:
            assert open_now.pop(alert.fingerprint) == alert.id
