"""What is said of which tag, and when."""

import json
import math

import numpy as np
import pytest

from fieldline.model import DeviceId, Quality, Reading
from fieldline_cloud.agents.prognosis.forecaster import Announcement, Forecaster, TagState, Wear
from fieldline_cloud.agents.tag_pattern import TagPattern
from fieldline_cloud.prognosis.tags import Prognosis, read_prognosis
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

HOUR = 3_600 * SECOND
WEAR = Wear(TagPattern("+/+/pump-*", "vibration"), 7.1, False, 3_600.0, 12, 8_760.0, None)


def forecaster(*, publish_every_s: float = 0.0, tags_max: int = 10) -> Forecaster:
    return Forecaster([WEAR], publish_every_s=publish_every_s, tags_max=tags_max)


def worn(begin_h: int, end_h: int) -> list[Reading]:
    """Two readings an hour: healthy for a day, then a tenth more every hour."""
    noise = np.random.default_rng(begin_h).normal(0, 0.05, 2 * (end_h - begin_h))
    hours = np.arange(2 * begin_h, 2 * end_h) / 2
    values = 2.0 + np.maximum(hours - 24, 0) * 0.1 + noise
    return [
        Reading("vibration", T0 + int(hour * HOUR), value)
        for hour, value in zip(hours.tolist(), values.tolist(), strict=True)
    ]


def take(who: Forecaster, readings: list[Reading], device: DeviceId = PUMP) -> list[Announcement]:
    return who.readings(device, readings, T0 + 10_000 * HOUR)


def hourly(who: Forecaster, begin_h: int, end_h: int) -> list[Prognosis | None]:
    said = [each for hour in range(begin_h, end_h) for each in take(who, worn(hour, hour + 1))]
    return [read_prognosis(each.readings)["vibration"] for each in said]


def test_a_wear_is_announced_with_what_remains() -> None:
    who = forecaster()

    (announcement,) = take(who, worn(0, 50))

    assert announcement.device == PUMP
    prognosis = read_prognosis(announcement.readings)["vibration"]
    assert prognosis is not None
    assert prognosis.p50_h == pytest.approx(24 + 51 - 50, rel=0.2)
    assert (who.tags, who.standing, who.stats.prognoses) == (1, 1, 1)


def test_prognoses_keep_their_distance_by_the_clock_of_the_readings() -> None:
    often, seldom = forecaster(), forecaster(publish_every_s=6 * 3_600)

    said_often, said_seldom = hourly(often, 0, 60), hourly(seldom, 0, 60)

    assert said_seldom[0] == said_often[0]  # the first one does not wait
    assert len(said_often) > 5 * len(said_seldom) > 5


def test_a_repair_withdraws_the_prognosis_at_once_and_once() -> None:
    who = forecaster(publish_every_s=1_000 * 3_600)
    assert len(hourly(who, 0, 60)) == 1

    good = [Reading("vibration", T0 + (60 + n) * HOUR, 2.0 + n % 2 / 20) for n in range(10)]
    said = [each for reading in good for each in take(who, [reading])]

    assert [read_prognosis(each.readings) for each in said] == [{"vibration": None}]
    assert (who.standing, who.stats.prognoses_withdrawn) == (0, 1)


def test_tags_without_an_entry_are_not_followed() -> None:
    who = forecaster()

    said = take(who, [Reading("temperature", T0, 20.0)]) + take(who, worn(0, 50), DeviceId("demo", "hall-a", "fan-1"))

    assert (said, who.tags, who.stats.readings) == ([], 0, 0)


def test_tags_beyond_the_bound_are_refused_and_counted() -> None:
    who = forecaster(tags_max=1)

    take(who, worn(0, 50))
    said = take(who, worn(0, 50), DeviceId("demo", "hall-a", "pump-3"))

    assert (said, who.tags, who.stats.readings_refused) == ([], 1, 100)


@pytest.mark.parametrize(
    "nonsense",
    [
        Reading("vibration", T0 + 49 * HOUR, None, Quality.BAD),
        Reading("vibration", T0 + 49 * HOUR, 99.0, Quality.UNCERTAIN_STALE),
        Reading("vibration", T0 + 49 * HOUR, "high"),
        Reading("vibration", T0 + 49 * HOUR, True),
        Reading("vibration", T0 + 49 * HOUR, math.nan),
        Reading("vibration", T0 + 49 * HOUR, -math.inf),
        Reading("vibration", T0 + 20_000 * HOUR, 99.0),
    ],
)
def test_what_is_no_measurement_changes_nothing(nonsense: Reading) -> None:
    measured = worn(0, 50)

    assert take(forecaster(), [*measured[:99], nonsense, measured[99]]) == take(forecaster(), measured)


def test_what_was_saved_goes_on_as_if_nothing_had_happened() -> None:
    through, first = forecaster(), forecaster()
    expected = hourly(through, 0, 60)

    before = hourly(first, 0, 41)
    (kept,) = first.take_changes()
    second = forecaster()
    second.restore([TagState(kept.device, kept.tag, *json.loads(json.dumps([kept.state, kept.points])))])

    assert before + hourly(second, 41, 60) == expected
    assert first.take_changes() == []


def test_points_are_kept_anew_only_when_there_is_one_more() -> None:
    who = forecaster()

    def points_after(begin_h: int, end_h: int, step: int) -> bool:
        take(who, worn(begin_h, end_h)[::step])
        (kept,) = who.take_changes()
        return kept.points is not None

    assert points_after(0, 10, 1)
    assert not points_after(9, 10, 2)
    assert points_after(10, 12, 1)


def test_a_tag_that_the_configuration_no_longer_has_is_let_go() -> None:
    first = forecaster()
    take(first, worn(0, 50))
    second = Forecaster([], publish_every_s=0, tags_max=10)

    second.restore(first.take_changes())

    assert second.tags == 0
