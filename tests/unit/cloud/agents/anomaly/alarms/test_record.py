"""One alarm's states: the table of the docstring, and random lives against a model that only knows the wishes."""

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fieldline.model import Alert, AlertState, Evidence, Severity
from fieldline.wire.plant import decode_alert, encode_alert
from fieldline_cloud.agents.anomaly.alarms.chatter import ChatterSpec
from fieldline_cloud.agents.anomaly.alarms.record import AlarmRecord, Shelf, Signed
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

ANNA = Signed("anna", "seen")
NO_CHATTER = ChatterSpec(raisings=0)
HIGH = Alert(PUMP, "vibration", "range_hi", "bearing_wear", Severity.WARNING, AlertState.RAISED, T0, "high")
FRESH = replace(HIGH, raised_at_ns=0)


def at(second: int) -> int:
    return T0 + second * SECOND


def raised(record: AlarmRecord, second: int, *, latch: bool = False) -> list[Alert]:
    return record.begin(replace(HIGH, raised_at_ns=at(second)), at(second), latch=latch)


def ended(record: AlarmRecord, second: int) -> list[Alert]:
    return record.end(at(second), "well again", (Evidence("vibration", at(second), 1.0, 4.5),), at(second))


def shelf(second: int, *, until_clear: bool = False) -> Shelf:
    return Shelf(Signed("anna", "the fitter is there"), at(second), until_clear)


def states(alerts: list[Alert]) -> list[AlertState]:
    return [alert.state for alert in alerts]


def new(*, chatter: ChatterSpec = NO_CHATTER) -> AlarmRecord:
    return AlarmRecord(FRESH, chatter=chatter)


def test_acknowledging_tells_who_and_when_and_clearing_ends_it() -> None:
    record = new()
    (first,) = raised(record, 0)
    (seen,) = record.acknowledge(ANNA, at(5))
    (over,) = ended(record, 9)
    assert (seen.id, seen.state, seen.by, seen.note) == (first.id, AlertState.ACKNOWLEDGED, "anna", "seen")
    assert seen.changed_at_ns == at(5)
    assert (over.id, over.state, over.cleared_at_ns, over.message) == (
        first.id,
        AlertState.CLEARED,
        at(9),
        "well again",
    )
    assert record.state is AlertState.CLEARED


def test_acknowledging_twice_or_what_is_well_changes_nothing() -> None:
    record = new()
    assert record.acknowledge(ANNA, at(0)) == []
    raised(record, 1)
    record.acknowledge(ANNA, at(2))
    assert record.acknowledge(Signed("bob"), at(3)) == []
    assert record.acknowledged == ANNA


def test_a_latched_alarm_waits_to_be_acknowledged() -> None:
    record = new()
    (first,) = raised(record, 0, latch=True)
    (back,) = ended(record, 1)
    (over,) = record.acknowledge(ANNA, at(2))
    assert states([first, back, over]) == [AlertState.RAISED, AlertState.RETURNED, AlertState.CLEARED]
    assert (back.cleared_at_ns, over.cleared_at_ns, over.by) == (at(1), at(1), "anna")


def test_a_latched_alarm_that_was_acknowledged_clears_by_itself() -> None:
    record = new()
    raised(record, 0, latch=True)
    record.acknowledge(ANNA, at(1))
    assert states(ended(record, 2)) == [AlertState.CLEARED]


def test_a_latched_alarm_that_comes_back_unseen_keeps_its_id() -> None:
    record = new()
    (first,) = raised(record, 0, latch=True)
    ended(record, 1)
    (second,) = raised(record, 2, latch=True)
    assert (second.state, second.id) == (AlertState.RAISED, first.id)
    assert states(record.acknowledge(ANNA, at(3))) == [AlertState.ACKNOWLEDGED]


def test_what_got_worse_wants_to_be_acknowledged_again() -> None:
    record = new()
    raised(record, 0)
    record.acknowledge(ANNA, at(1))
    (worse,) = record.worsen(replace(HIGH, severity=Severity.CRITICAL, message="worse"), at(2))
    assert (worse.state, worse.severity, worse.message) == (AlertState.RAISED, Severity.CRITICAL, "worse")
    assert record.worsen(replace(HIGH, severity=Severity.CRITICAL), at(3)) == []


def test_the_time_on_the_shelf_ends_with_the_true_state() -> None:
    record = new()
    (first,) = raised(record, 0)
    (aside,) = record.put_on_shelf(shelf(60), at(1))
    assert (aside.state, aside.by, aside.note) == (AlertState.SHELVED, "anna", "the fitter is there")
    assert aside.until_ns == at(60)
    assert record.tick(at(59), live=True) == []
    (back,) = record.tick(at(60), live=False)
    assert (back.state, back.id, back.until_ns, back.changed_at_ns) == (AlertState.RAISED, first.id, 0, at(60))


def test_what_cleared_on_the_shelf_is_told_as_cleared() -> None:
    record = new()
    raised(record, 0)
    record.put_on_shelf(shelf(60), at(1))
    assert ended(record, 2) == []
    (over,) = record.take_off_shelf(ANNA, at(3))
    assert (over.state, over.cleared_at_ns) == (AlertState.CLEARED, at(2))


def test_a_raising_nobody_saw_ends_before_the_next_is_told() -> None:
    record = new()
    (first,) = raised(record, 0)
    record.put_on_shelf(shelf(60), at(1))
    ended(record, 2)
    raised(record, 3)
    over, second = record.take_off_shelf(ANNA, at(4))
    assert states([over, second]) == [AlertState.CLEARED, AlertState.RAISED]
    assert over.id == first.id != second.id


def test_an_alarm_that_is_well_can_be_shelved_and_comes_back_well() -> None:
    record = new()
    (aside,) = record.put_on_shelf(shelf(60), at(1))
    (over,) = record.tick(at(61), live=True)
    assert (aside.raised_at_ns, over.state) == (0, AlertState.CLEARED)
    assert decode_alert(encode_alert(over)) == over


def test_shelved_until_it_clears_ends_with_the_condition() -> None:
    record = new()
    raised(record, 0)
    record.put_on_shelf(shelf(60, until_clear=True), at(1))
    assert states(ended(record, 2)) == [AlertState.CLEARED]
    assert states(raised(record, 3)) == [AlertState.RAISED]


def test_shelving_again_moves_the_end_and_the_same_shelf_says_nothing() -> None:
    record = new()
    raised(record, 0)
    record.put_on_shelf(shelf(60), at(1))
    assert record.put_on_shelf(shelf(60), at(2)) == []
    (again,) = record.put_on_shelf(shelf(90), at(3))
    assert again.until_ns == at(90)


def test_what_is_raised_while_suppressed_is_told_as_such_and_again_when_that_ends() -> None:
    record = new()
    assert record.suppress("design", "the pump is off", at(0)) == []
    (aside,) = raised(record, 1)
    assert (aside.state, aside.note) == (AlertState.SUPPRESSED, "the pump is off")
    (true,) = record.release("design", at(2))
    assert (true.state, true.id, true.changed_at_ns) == (AlertState.RAISED, aside.id, at(2))


def test_what_clears_while_suppressed_is_over() -> None:
    record = new()
    record.suppress("design", "the pump is off", at(0))
    raised(record, 1)
    assert states(ended(record, 2)) == [AlertState.CLEARED]
    assert record.release("design", at(3)) == []


def test_out_of_service_goes_before_all_else_and_ends_by_itself_alone() -> None:
    record = new()
    raised(record, 0)
    record.put_on_shelf(shelf(10), at(1))
    assert states(record.take_out_of_service(ANNA, at(2))) == [AlertState.OUT_OF_SERVICE]
    assert record.take_out_of_service(Signed("bob"), at(3)) == []
    assert record.tick(at(20), live=True) == []
    assert states(record.put_back(ANNA, at(30))) == [AlertState.RAISED]


CHATTER = ChatterSpec(raisings=3, window_ns=60 * SECOND, quiet_ns=60 * SECOND)


def chattering() -> AlarmRecord:
    record = new(chatter=CHATTER)
    for second in (0, 10, 20):
        raised(record, second)
        if second < 20:
            ended(record, second + 5)
    return record


def test_an_alarm_that_chatters_is_held_raised_and_says_so() -> None:
    record = chattering()
    assert record.told is not None
    assert "chattering" in record.told.note
    said = [*ended(record, 25), *raised(record, 30), *ended(record, 35), *record.tick(at(89), live=True)]
    assert said == []
    assert record.state is AlertState.RAISED
    assert record.chatters == 1
    assert record.raisings(at(35)) == 4


def test_chatter_is_over_once_it_was_quiet() -> None:
    record = chattering()
    ended(record, 25)
    assert record.tick(at(79), live=True) == []
    assert record.tick(at(80), live=False) == []  # nothing arrives, so nobody knows
    (over,) = record.tick(at(80), live=True)
    assert (over.state, over.cleared_at_ns) == (AlertState.CLEARED, at(25))


def test_an_acknowledged_alarm_that_chatters_does_not_call_again() -> None:
    record = chattering()
    record.acknowledge(ANNA, at(21))
    assert ended(record, 25) + raised(record, 30) == []
    assert record.state is AlertState.ACKNOWLEDGED


def test_slow_raisings_are_no_chatter() -> None:
    record = new(chatter=CHATTER)
    for second in range(0, 310, 31):
        assert states(raised(record, second)) == [AlertState.RAISED]
        assert states(ended(record, second + 1)) == [AlertState.CLEARED]


@dataclass
class Model:
    """What a plant engineer would say of the alarm, from nothing but what happened."""

    latch: bool = False
    holds: bool = False
    seen: bool = True
    shelved_until: int | None = None
    until_clear: bool = False
    suppressed: bool = False
    out: bool = False

    @property
    def state(self) -> AlertState:
        if self.out:
            return AlertState.OUT_OF_SERVICE
        if self.shelved_until is not None:
            return AlertState.SHELVED
        if self.holds and self.suppressed:
            return AlertState.SUPPRESSED
        if self.holds:
            return AlertState.ACKNOWLEDGED if self.seen else AlertState.RAISED
        return AlertState.CLEARED if self.seen or not self.latch else AlertState.RETURNED


class Life(RuleBasedStateMachine):
    """Random lives of an alarm. Whoever only reads what is published must know what the model knows."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.record = new()
        self.second = 1
        self.shown: Alert | None = None
        self.called = False  # somebody was told that it is raised

    def take(self, alerts: list[Alert]) -> None:
        for alert in alerts:
            assert decode_alert(encode_alert(alert)) == alert
            shown = self.shown
            if shown is not None and shown.raised_at_ns and shown.state is not AlertState.CLEARED:
                assert alert.id == shown.id or not alert.raised_at_ns  # a raising ends before the next begins
            self.shown = alert
            if alert.state is AlertState.RAISED:
                self.called = True
        self.second += 1

    @precondition(lambda self: not self.model.holds)
    @rule(latch=st.booleans())
    def condition_begins(self, latch: bool) -> None:
        unseen = self.model.latch and not self.model.seen
        self.model.holds, self.model.latch = True, latch
        self.called = unseen
        self.take(raised(self.record, self.second, latch=latch))
        self.model.seen = False

    @precondition(lambda self: self.model.holds)
    @rule()
    def condition_ends(self) -> None:
        self.model.holds = False
        if not self.called:
            self.model.seen = True  # it was aside all the time: nobody owes it a look
        if self.model.until_clear:
            self.model.shelved_until, self.model.until_clear = None, False
        self.take(ended(self.record, self.second))

    @precondition(lambda self: not self.model.state.is_aside)
    @rule()
    def somebody_acknowledges(self) -> None:
        self.model.seen = True
        self.take(self.record.acknowledge(ANNA, at(self.second)))

    @precondition(lambda self: not self.model.out)
    @rule(wait_s=st.integers(1, 20), until_clear=st.booleans())
    def somebody_shelves(self, wait_s: int, until_clear: bool) -> None:
        self.model.shelved_until = self.second + wait_s
        self.model.until_clear = until_clear and self.model.holds
        self.take(
            self.record.put_on_shelf(shelf(self.second + wait_s, until_clear=self.model.until_clear), at(self.second))
        )

    @rule()
    def somebody_unshelves(self) -> None:
        self.model.shelved_until, self.model.until_clear = None, False
        self.take(self.record.take_off_shelf(ANNA, at(self.second)))

    @rule(wait_s=st.integers(0, 30))
    def time_passes(self, wait_s: int) -> None:
        self.second += wait_s
        if self.model.shelved_until is not None and self.second >= self.model.shelved_until:
            self.model.shelved_until, self.model.until_clear = None, False
        self.take(self.record.tick(at(self.second), live=True))

    @rule(on=st.booleans())
    def the_design_suppresses(self, on: bool) -> None:
        self.model.suppressed = on
        if on:
            self.take(self.record.suppress("design", "off", at(self.second)))
        else:
            self.take(self.record.release("design", at(self.second)))

    @rule(out=st.booleans())
    def somebody_takes_it_out_of_service(self, out: bool) -> None:
        self.model.out = out
        if out:
            self.take(self.record.take_out_of_service(ANNA, at(self.second)))
        else:
            self.take(self.record.put_back(ANNA, at(self.second)))

    @rule()
    def the_process_dies_and_another_goes_on(self) -> None:
        self.record = AlarmRecord.restored(self.record.snapshot(), chatter=NO_CHATTER)

    @invariant()
    def what_was_published_last_is_the_state(self) -> None:
        shown = AlertState.CLEARED if self.shown is None else self.shown.state
        assert self.record.state is self.model.state
        assert shown is self.model.state


TestLife = Life.TestCase
Life.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
