"""The machines, calendars and weather that scenarios are made of, drawn at random. Pure."""

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any

from fieldline_edge.drivers.simulator.blueprint import Blueprint, moved_signals
from fieldline_edge.drivers.simulator.kinds import SENSOR_KINDS, FaultKind
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.drivers.simulator.signals import Form

__all__ = ["CALENDARS", "DRIVEN", "MODELS", "able", "machine", "numbers_of", "plant"]

MODELS = ("pump", "fan", "compressor", "meter", "climate", "custom")
DRIVEN = ("pump", "fan", "compressor", "custom")
"""Those with a motor that can be stopped."""
CALENDARS = (None, "day", "two-shifts", "grades")

_CALENDAR_SETTINGS: Mapping[str, Any] = {
    "day": {"shifts": [{"start": "06:00", "end": "18:00"}], "breaks": [{"start": "12:00", "minutes": 30}]},
    "two-shifts": {
        "shifts": [{"start": "06:00", "end": "14:00"}, {"start": "14:00", "end": "22:00", "load": 0.85}],
        "off_load": 0.3,
    },
    # Runs around the clock, and makes another grade at another load from day to day.
    "grades": {
        "shifts": [
            {"days": ["mon", "wed", "fri"], "start": "05:00", "end": "05:00", "load": 1.1},
            {"days": ["tue", "thu"], "start": "05:00", "end": "17:00", "load": 0.7},
            {"days": ["sat"], "start": "07:00", "end": "12:00", "load": 0.9},
        ],
        "off_load": 0.5,
    },
}
_TANK: Mapping[str, Any] = {
    "running": {},
    "speed": {"unit": "rpm", "speed": 1480.0, "low": 0, "high": 3000, "noise": 1.0, "resolution": 1},
    "torque": {"unit": "Nm", "base": 5, "load": 60, "low": 0, "high": 200, "noise": 0.3, "resolution": 0.1,
               "on_fault": {"bearing_wear": 12, "clogged_filter": 25}},
    "level": {"unit": "%", "base": 62, "load": -8, "inertia_s": 120, "wander": 1.5, "wander_s": 300, "low": 0,
              "high": 100, "noise": 0.1, "resolution": 0.1, "on_fault": {"leak": -22}},
    "product_temperature": {"unit": "degC", "base": 48, "load": 14, "ambient": 0.4, "inertia_s": 600, "low": -20,
                            "high": 150, "noise": 0.1, "resolution": 0.1, "on_fault": {"clogged_filter": 9}},
    "gearbox_temperature": {"unit": "degC", "base": 30, "ambient": 0.8, "follows": {"torque": 0.35}, "inertia_s": 300,
                            "low": -20, "high": 150, "noise": 0.1, "resolution": 0.1,
                            "on_fault": {"bearing_wear": 30, "misalignment": 12}},
    "vibration": {"unit": "mm/s", "base": 0.2, "speed": 1.8, "wander": 0.06, "low": 0, "high": 50, "noise": 0.03,
                  "resolution": 0.01,
                  "on_fault": {"bearing_wear": 9, "imbalance": 5, "misalignment": 4, "cavitation": 3}},
    "batches": {"load": 0.003, "counter": True, "low": 0, "high": 1e9, "resolution": 1},
}  # fmt: skip
"""A stirred tank: a machine that no agent has been made for."""


def machine(random: Random, name: str, *, calendar: str | None) -> dict[str, Any]:
    """An entry of a plant file; the model is what stands before the last dash of `name`."""
    model = name.rpartition("-")[0]
    entry: dict[str, Any] = {
        "name": name,
        "model": model,
        "serve": "mqtt",
        "rated_kw": round(random.uniform(4.0, 40.0), 1),
        "load": round(random.uniform(0.5, 0.85), 2),
        "load_swing": round(random.uniform(0.02, 0.15), 3),
        "load_period_s": round(random.choice([90.0, 600.0, 3600.0]) * random.uniform(0.8, 1.2)),
        "ambient_c": round(random.uniform(15.0, 28.0), 1),
        "calendar": calendar,
    }
    if model == "custom":
        entry["signals"] = _TANK
    elif model in ("pump", "fan", "compressor") and random.random() < 0.4:
        entry["monitor"] = {"samples": 0}
    return entry


def plant(seed: int, random: Random, machines: list[dict[str, Any]]) -> dict[str, Any]:
    """A plant file of `machines` that begins on a random day; meters measure all motors, but not the tanks."""
    motors = [each["name"] for each in machines if each["model"] in ("pump", "fan", "compressor")]
    fed = [{**each, "feeds": motors} if each["model"] == "meter" else each for each in machines]
    return {
        "kind": "plant",
        "seed": seed,
        "start": f"2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}T00:00:00",
        "calendars": _CALENDAR_SETTINGS,
        "seasons": {"year_c": 8.0, "day_c": round(random.uniform(1.0, 5.0), 1)},
        "machines": fed,
    }


def numbers_of(blueprint: Blueprint) -> list[str]:
    """The signals that a sensor fault can be on."""
    return [each.name for each in blueprint.signals if each.form in (Form.FLOAT, Form.INT)]


def able(kind: FaultKind) -> tuple[str, ...]:
    """The models that `kind` can happen to."""
    return tuple(model for model in MODELS if kind in _KINDS[model])


def _possible(kind: FaultKind, blueprint: Blueprint) -> bool:
    try:
        moved_signals(kind, blueprint, numbers_of(blueprint)[0] if kind in SENSOR_KINDS else None)
    except ValueError:
        return False
    return True


def _kinds_of(model: str) -> frozenset[FaultKind]:
    one = plant(0, Random(0), [machine(Random(0), f"{model}-1", calendar=None)])
    blueprint = PlantSettings.model_validate(one).placed()[0].blueprint
    assert blueprint is not None
    return frozenset(kind for kind in FaultKind if _possible(kind, blueprint))


_KINDS = MappingProxyType({model: _kinds_of(model) for model in MODELS})
