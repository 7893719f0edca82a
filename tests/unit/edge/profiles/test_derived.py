"""Tags that a profile computes: chosen, changed and added like those it reads."""

from pathlib import Path
from typing import Any

import pytest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline.model import Reading
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.processing.build import build_pipeline
from fieldline_edge.processing.stage import ProcessingStats
from fieldline_edge.processing.waveform.speeds import Speeds
from fieldline_edge.profiles import ProfileSettings, load_profile
from fieldline_edge.settings import GatewaySettings

PROFILE = """\
kind: profile
name: scaled
title: A device with a scale factor
what: energy meter
manual: {title: Manual, revision: "1", url: https://example.com/manual}
checked: manual
tags:
  - {name: power_raw, address: 0, type: int16}
  - {name: factor, address: 1, type: int16}
  - {name: limit, address: 2, type: int16}
"""
DERIVED = """\
derived:
  - {name: power, expression: power_raw * 10.0 ** factor, unit: W}
  - {name: load, expression: 100 * power / limit, unit: '%'}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    file = tmp_path / "scaled.yaml"
    file.write_text(PROFILE + DERIVED)
    return file


def device(profile: object, **keys: Any) -> ModbusDeviceSettings:
    given = {"driver": "modbus", "name": "d", "area": "a", "host": "h", "profile": str(profile)}
    return ModbusDeviceSettings.model_validate(given | keys)


@pytest.mark.parametrize(
    ("tags", "read", "computed"),
    [
        (["all"], {"power_raw", "factor", "limit"}, ["power", "load"]),
        (["power_raw"], {"power_raw"}, []),
        (["power"], {"power_raw", "factor"}, ["power"]),
        (["load", "power"], {"power_raw", "factor", "limit"}, ["power", "load"]),
        (["factor", "power"], {"power_raw", "factor"}, ["power"]),
        (["power", "all"], {"power_raw", "factor", "limit"}, ["power", "load"]),
    ],
)
def test_tags_choose_computed_ones_with_what_they_need(
    profile: Path, tags: list[str], read: set[str], computed: list[str]
) -> None:
    settings = device(profile, tags=tags)
    assert {tag.name for tag in settings.tags} == read
    assert [made.name for made in settings.derived] == computed


def test_a_device_changes_a_computed_tag_and_adds_its_own(profile: Path) -> None:
    changed = [{"name": "power", "max": 5000}, {"name": "idle", "expression": "power < 10"}]
    power, idle, load = device(profile, derived=changed).derived
    assert (power.expression, power.max, power.unit) == ("power_raw * 10.0 ** factor", 5000.0, "W")
    assert (idle.name, load.name) == ("idle", "load")


def test_devices_share_what_they_do_not_change(profile: Path) -> None:
    first, second = device(profile), device(profile, derived=[{"name": "load", "unit": "1"}])
    assert first.derived[0] is second.derived[1]


def test_expanded_settings_may_be_checked_again(profile: Path) -> None:
    settings = device(profile, tags=["power"], derived=[{"name": "power", "max": 9}])
    assert ModbusDeviceSettings.model_validate(settings.model_dump(exclude_unset=True)) == settings


@pytest.mark.parametrize(
    ("keys", "line", "said"),
    [
        ("tags: [{name: power, max: 3}]", 9, r"tags\[0\]: 'power' is computed by profile 'scaled'; write its changes"),
        ("derived: [{name: power, expresion: '1'}]", 9, r"derived\[0\]\.expresion: is not a known key"),
        ("derived: [{name: more, expression: powr * 2}]", 9, r"derived\[0\]\.expression: .*'powr'.* is no tag"),
        ("derived: 7", 9, r"derived: .*must be a list"),
    ],
)
def test_a_mistake_is_said_at_its_place(profile: Path, keys: str, line: int, said: str) -> None:
    text = (
        "kind: gateway\nname: g\nsite: s\nhub: 127.0.0.1:1\nspool: {path: x.db}\ndevices:\n"
        f"  - {{driver: modbus, name: d, area: a, host: h,\n     profile: {profile},\n     {keys}}}\n"
    )
    with pytest.raises(ConfigError, match=rf"g\.yaml:{line}: devices\[0\]\.{said}"):
        loads(text, GatewaySettings, name="g.yaml")


@pytest.mark.parametrize(
    ("derived", "said"),
    [
        ("derived: [{name: x, expression: powr_raw * 2}]", r"p\.yaml:11: derived\[0\]\.expression: .*'powr_raw'"),
        ("derived: [{name: factor, expression: limit * 2}]", r"derived\[0\]\.name: 'factor' is already the name"),
        ("derived: [{name: all, expression: limit * 2}]", "the name 'all' stands for all tags"),
    ],
)
def test_a_profile_that_cannot_compute_is_refused(derived: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loads(PROFILE + derived + "\n", ProfileSettings, name="p.yaml")


def computed(raw: dict[str, int]) -> dict[str, Reading]:
    """What the gateway makes of what a SunSpec inverter of model 103 was read to have."""
    settings = device("sunspec-inverter-103")
    pipeline = build_pipeline(settings, site="s", stats=ProcessingStats(), now_s=0.0, speeds=Speeds())
    assert pipeline is not None
    pipeline.put([Reading(name, 1, value) for name, value in raw.items()], 0.0)
    return {reading.tag: reading for reading in pipeline.readings}


@pytest.mark.parametrize(
    ("raw", "exponent", "value"), [(2305, -1, 230.5), (4995, -2, 49.95), (-12, 2, -1200.0), (7, 0, 7.0)]
)
def test_a_sunspec_value_is_its_raw_number_times_ten_to_its_exponent(raw: int, exponent: int, value: float) -> None:
    assert computed({"power_raw": raw, "power_exponent": exponent})["power"].value == value


def test_every_scaled_number_of_a_sunspec_inverter_is_computed() -> None:
    profile = load_profile("sunspec-inverter-103")
    raws = {tag.name.removesuffix("_raw") for tag in profile.tags if tag.name.endswith("_raw")}
    assert raws == {made.name for made in profile.derived}
