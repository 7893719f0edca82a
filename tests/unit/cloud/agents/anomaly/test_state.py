"""One alarm: delays, hysteresis, and moments that never repeat."""

from fieldline_cloud.agents.anomaly.state import Alarm, Change, Phase

S = 1_000_000_000


def test_without_delays_one_observation_raises_and_one_clears() -> None:
    alarm = Alarm()
    assert alarm.step(1 * S, beyond=True, back=False) is Change.RAISED
    assert alarm.is_raised
    assert alarm.step(2 * S, beyond=False, back=True) is Change.CLEARED
    assert not alarm.is_raised


def test_between_limit_and_deadband_nothing_changes() -> None:
    alarm = Alarm()
    alarm.step(1 * S, beyond=True, back=False)
    assert alarm.step(2 * S, beyond=False, back=False) is None
    assert alarm.is_raised


def test_on_delay_ends_only_with_an_observation_that_is_still_beyond() -> None:
    alarm = Alarm(on_delay_ns=2 * S)
    assert alarm.step(1 * S, beyond=True, back=False) is None
    assert alarm.step(2 * S, beyond=False, back=True) is None
    assert alarm.step(3 * S, beyond=True, back=False) is None
    assert alarm.step(4 * S, beyond=True, back=False) is None
    assert alarm.step(5 * S, beyond=True, back=False) is Change.RAISED
    assert alarm.raised_at_ns == 5 * S


def test_a_relapse_during_the_off_delay_keeps_the_alarm_raised() -> None:
    alarm = Alarm(off_delay_ns=2 * S)
    alarm.step(1 * S, beyond=True, back=False)
    assert alarm.step(2 * S, beyond=False, back=True) is None
    assert alarm.step(3 * S, beyond=False, back=False) is None
    assert alarm.step(4 * S, beyond=False, back=True) is None
    assert alarm.step(5 * S, beyond=False, back=True) is None
    assert alarm.step(6 * S, beyond=False, back=True) is Change.CLEARED


def test_two_raisings_never_have_the_same_moment() -> None:
    alarm = Alarm()
    alarm.step(5 * S, beyond=True, back=False)
    alarm.step(5 * S, beyond=False, back=True)
    alarm.step(5 * S, beyond=True, back=False)
    assert alarm.raised_at_ns == 5 * S + 1
    alarm.step(6 * S, beyond=False, back=True)
    alarm.step(1 * S, beyond=True, back=False)
    assert alarm.raised_at_ns == 5 * S + 2


def test_a_clock_set_back_starts_a_running_delay_again() -> None:
    alarm = Alarm(on_delay_ns=2 * S)
    alarm.step(1_000 * S, beyond=True, back=False)
    alarm.set_back(10 * S)
    assert alarm.step(10 * S, beyond=True, back=False) is None
    assert alarm.step(12 * S, beyond=True, back=False) is Change.RAISED


def test_a_restored_alarm_goes_on_in_the_middle_of_its_delay() -> None:
    alarm = Alarm(on_delay_ns=2 * S)
    alarm.step(1 * S, beyond=True, back=False)
    restored = Alarm(on_delay_ns=2 * S)
    restored.restore(alarm.snapshot())
    assert restored.phase is Phase.RISING
    assert restored.step(3 * S, beyond=True, back=False) is Change.RAISED
