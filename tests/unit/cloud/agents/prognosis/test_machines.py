"""What is said of machines by what was learned of others: rows by time, bounded, the same after a restart."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fieldline.model import DeviceId, Quality, Reading
from fieldline_cloud.agents.prognosis.forecaster import Announcement
from fieldline_cloud.agents.prognosis.machines import Fleet, Machines, MachineState
from fieldline_cloud.agents.tag_pattern import TagPattern
from fieldline_cloud.prognosis.features import BEGINNING, TAIL, Array, base_features
from fieldline_cloud.prognosis.learned import Life
from fieldline_cloud.prognosis.tags import Prognosis, read_prognosis
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

HOUR = 3_600 * SECOND
BEGIN = T0 // HOUR * HOUR
FAN = DeviceId("demo", "hall-a", "fan-1")


class Recorder:
    """A model that remembers what it was asked, and says as many steps as the history is long."""

    def __init__(self) -> None:
        self.asked: list[tuple[Array, int]] = []

    def life(self, history: Array, *, skipped: int = 0) -> Life:
        self.asked.append((history.copy(), skipped))
        steps = float(len(history) + skipped)
        return Life(steps, steps / 2, steps, steps * 2)


def fleet(model: Recorder, **more: Any) -> Fleet:
    facts = (TagPattern("+/+/pump-*", "*"), ("vibration", "temperature"), model, 12, 3_600.0, "machine", 3)
    return replace(Fleet(*facts), **more)


def machines(model: Recorder, *, publish_every_s: float = 0.0, machines_max: int = 5, **more: Any) -> Machines:
    return Machines([fleet(model, **more)], publish_every_s=publish_every_s, machines_max=machines_max)


def hour(number: float, vibration: float = 2.0, temperature: float | None = 50.0) -> list[Reading]:
    at_ns = BEGIN + round(number * HOUR)
    found = [Reading("vibration", at_ns, vibration)]
    return found if temperature is None else [*found, Reading("temperature", at_ns, temperature)]


def take(who: Machines, *frames: list[Reading], device: DeviceId = PUMP) -> list[Announcement]:
    return [said for frame in frames for said in who.readings(device, frame, T0 + 10**6 * HOUR)]


def spoken(said: list[Announcement]) -> list[Prognosis | None]:
    return [read_prognosis(each.readings)["machine"] for each in said]


def test_steps_become_hours_from_the_end_of_the_last_whole_step() -> None:
    model = Recorder()
    said = spoken(take(machines(model, step_s=7_200.0), hour(0), hour(6.5)))
    (prognosis,) = said
    assert prognosis is not None
    assert (prognosis.p10_h, prognosis.p50_h, prognosis.p90_h) == (3.0, 6.0, 12.0)
    assert prognosis.at_ns == BEGIN // (2 * HOUR) * 2 * HOUR + 6 * HOUR
    assert prognosis.trend == "3 steps old; learned from 12 machines that failed"


def test_a_row_holds_the_means_of_its_step_and_nan_where_a_tag_was_silent() -> None:
    model = Recorder()
    take(machines(model), hour(0, 1.0, None), hour(0.5, 3.0, 40.0), hour(1, 5.0, None), hour(3))
    ((history, skipped),) = model.asked
    assert skipped == 0
    np.testing.assert_array_equal(history, [[2.0, 40.0], [5.0, math.nan], [math.nan, math.nan]])


def test_what_comes_late_counts_in_its_own_step() -> None:
    model = Recorder()
    take(machines(model), hour(0), hour(2), hour(1, 9.0, 9.0), hour(3))
    history, _ = model.asked[-1]
    assert history[1].tolist() == [9.0, 9.0]


def test_nothing_is_said_before_the_warmup_and_not_more_often_than_asked() -> None:
    model = Recorder()
    who = machines(model, publish_every_s=4 * 3_600.0)
    said = take(who, *(hour(each) for each in range(13)))
    assert [each.readings[0].at_ns for each in said] == [BEGIN + each * HOUR for each in (3, 7, 11)]
    assert len(model.asked) == 3


@pytest.mark.parametrize(
    "reading",
    [
        Reading("vibration", BEGIN, None, Quality.BAD),
        Reading("vibration", BEGIN, 1.0, Quality.BAD),
        Reading("vibration", BEGIN, "high"),
        Reading("vibration", BEGIN, True),
        Reading("vibration", BEGIN, math.nan),
        Reading("vibration", BEGIN, 1e300),
        Reading("vibration", T0 + 10**7 * HOUR, 1.0),
    ],
)
def test_what_is_no_measurement_counts_for_nothing(reading: Reading) -> None:
    who = machines(Recorder())
    assert take(who, [reading]) == []
    assert who.followed == 0
    assert who.stats.readings_not_good + who.stats.readings_ahead == 1


def test_other_devices_and_other_tags_are_not_followed() -> None:
    who = machines(Recorder())
    take(who, hour(0), device=FAN)
    take(who, [Reading("flow", BEGIN, 1.0)])
    assert (who.followed, who.stats.readings) == (0, 0)


def test_machines_beyond_the_bound_are_refused_and_counted() -> None:
    who = machines(Recorder(), machines_max=1)
    take(who, hour(0))
    take(who, hour(0), device=DeviceId("demo", "hall-a", "pump-3"))
    assert (who.followed, who.stats.machines_refused) == (1, 1)


def test_a_long_history_is_cut_in_the_middle_and_says_the_same() -> None:
    model = Recorder()
    length = 900
    values = np.random.default_rng(1).normal(2.0, 1.0, (length + 1, 2)) + np.linspace(0, 5, length + 1)[:, None]
    take(machines(model, publish_every_s=1e9), *(hour(step, *row) for step, row in enumerate(values[:3].tolist())))
    who = machines(model)
    take(who, *(hour(step, *row) for step, row in enumerate(values.tolist())))
    history, skipped = model.asked[-1]
    assert (len(history), skipped) == (BEGINNING + TAIL, length - BEGINNING - TAIL)
    whole, cut = base_features(values[:length]), base_features(history, skipped=skipped)
    np.testing.assert_allclose(cut[-50:], whole[-50:], rtol=1e-8, atol=1e-8)


def test_a_tag_that_is_long_gone_is_unknown_and_not_as_in_the_beginning() -> None:
    model = Recorder()
    who = machines(model)
    take(who, *(hour(step) for step in range(30)), *(hour(step, 2.0, None) for step in range(30, 600)))
    history, _ = model.asked[-1]
    assert np.isnan(history[:, 1]).all()
    assert np.isfinite(history[:, 0]).all()


class Kept:
    """What a store would hold, through JSON."""

    def __init__(self) -> None:
        self.states: dict[DeviceId, MachineState] = {}

    def keep(self, who: Machines) -> None:
        for state in who.take_changes():
            before = self.states.get(state.device)
            rows = {} if state.is_anew or before is None else dict(before.rows)
            rows = {step: row for step, row in rows.items() if step < BEGINNING or step >= state.first_kept}
            rows |= {
                step: {tag: (float(total), int(count)) for tag, (total, count) in row.items()}
                for step, row in json.loads(json.dumps([*state.rows.items()]))
            }
            self.states[state.device] = replace(state, rows=rows)


def test_a_run_cut_in_two_says_what_a_whole_one_says_and_keeps_a_bounded_history() -> None:
    frames = [hour(step / 2, 2.0 + step % 7, None if step % 5 else 50.0 + step) for step in range(1_400)]
    whole = Recorder()
    said = take(machines(whole), *frames)
    kept, found, models = Kept(), list[Announcement](), list[Recorder]()
    for part in (frames[:500], frames[500:1_201], frames[1_201:]):
        models.append(Recorder())
        who = machines(models[-1])
        who.restore(kept.states.values())
        for number, frame in enumerate(part):
            found += take(who, frame)
            if number % 10 == 0:
                kept.keep(who)
        kept.keep(who)
    assert found == said
    for one, other in zip(whole.asked, [each for model in models for each in model.asked], strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    (state,) = kept.states.values()
    assert len(state.rows) <= BEGINNING + TAIL + 1


def test_a_machine_that_is_new_again_begins_anew_and_the_old_prognosis_is_withdrawn() -> None:
    kept = Kept()
    before = machines(Recorder())
    take(before, *(hour(step) for step in range(10)))
    kept.keep(before)
    model = Recorder()
    who = machines(model, new_since={PUMP: BEGIN + 20 * HOUR})
    who.restore(kept.states.values())
    said = take(who, hour(15), *(hour(step) for step in range(20, 25)))
    assert [prognosis is None for prognosis in spoken(said)] == [True, False, False]
    assert [len(history) for history, _ in model.asked] == [3, 4]
    kept.keep(who)
    (state,) = kept.states.values()
    assert sorted(state.rows) == [0, 1, 2, 3, 4]


def test_a_machine_that_ran_before_is_as_old_as_the_configuration_says() -> None:
    model = Recorder()
    who = machines(model, new_since={PUMP: BEGIN - 1_000 * HOUR})
    take(who, hour(0), hour(1))
    history, skipped = model.asked[-1]
    assert len(history) + skipped == 1_001
    assert np.isnan(history[:BEGINNING]).all()
