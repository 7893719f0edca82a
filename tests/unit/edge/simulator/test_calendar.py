"""Claims about shifts and seasons: who works when, and how warm it is."""

from datetime import UTC, datetime

import pytest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline_edge.drivers.simulator.calendar import Break, Calendar, Seasons, Shift
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.settings import PlantSettings

HOUR_S = 3600
WEEKDAYS = frozenset(range(5))
CALENDAR = Calendar(
    shifts=(
        Shift(WEEKDAYS, 6 * HOUR_S, 14 * HOUR_S, 1.0),
        Shift(WEEKDAYS, 22 * HOUR_S, 4 * HOUR_S, 0.5),
    ),
    breaks=(Break(9 * HOUR_S, 900, 0.2),),
    holidays=frozenset({"2026-01-06"}),
    off_load=0.1,
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "load"),
    [
        ("2026-01-05T05:59:59", 0.1),  # Monday before the shift; Sunday had none
        ("2026-01-05T06:00:00", 1.0),
        ("2026-01-05T09:10:00", 0.2),  # break
        ("2026-01-05T14:00:00", 0.1),
        ("2026-01-05T23:00:00", 0.5),
        ("2026-01-06T03:00:00", 0.5),  # the holiday's early morning belongs to Monday's night shift
        ("2026-01-06T10:00:00", 0.1),  # holiday
        ("2026-01-07T03:00:00", 0.1),  # its night shift did not begin
        ("2026-01-10T03:00:00", 0.5),  # Saturday, from Friday's night shift
        ("2026-01-10T10:00:00", 0.1),  # Saturday
    ],
)
def test_the_load_is_that_of_the_shift_on_duty(moment: str, load: float) -> None:
    assert CALENDAR.load_at(at(moment)) == pytest.approx(load)


def test_summer_afternoons_are_warm_and_winter_nights_cold() -> None:
    seasons = Seasons(year_c=10, day_c=4)

    assert seasons.warmer_at(at("2026-07-20T15:00:00")) == pytest.approx(14, abs=0.2)
    assert seasons.warmer_at(at("2026-01-18T03:00:00")) == pytest.approx(-14, abs=0.2)


def plant(text: str) -> Plant:
    return Plant(loads(f"kind: plant\n{text}", PlantSettings, name="plant.yaml", environment={}))


def test_motors_stand_outside_of_shifts_and_start_with_them() -> None:
    made = plant(
        """start: 2026-01-05T05:58:00
calendars: {one: {shifts: [{start: "06:00", end: "14:00"}]}}
machines: [{name: a, model: pump, serve: modbus, calendar: one}]"""
    )
    told = []
    for _ in range(180):
        made.step(1.0)
        told.append(dict(made.machines["a"].values))

    assert told[100]["running"] is False
    assert float(told[100]["speed"]) < 5
    assert told[-1]["running"] is True
    assert float(told[-1]["speed"]) > 2000


def test_a_machine_is_warmer_in_summer() -> None:
    def temperature(start: str) -> float:
        made = plant(f"start: {start}\nseasons: {{}}\nmachines: [{{name: a, model: pump, serve: modbus}}]")
        for _ in range(60):
            made.step(60.0)
        return float(made.machines["a"].values["temperature"])

    assert temperature("2026-07-20T14:00:00") > temperature("2026-01-20T02:00:00") + 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("machines: [{name: a, model: pump, serve: modbus, calendar: x}]", "there is no calendar 'x'"),
        ('calendars: {x: {shifts: [{start: "25:00"}]}}\nmachines: []', "'25:00' is no time of day; write it like"),
        ("calendars: {x: {shifts: [{}], holidays: [christmas]}}\nmachines: []", "'christmas' is no date"),
        ("start: yesterday\nmachines: []", "'yesterday' is no date and time; write it like"),
    ],
)
def test_a_mistake_is_told_with_its_cure(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected.replace("(", r"\(")):
        plant(text)
