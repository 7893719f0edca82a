"""Known devices are recognised by what they show, and not by less; the report is a file that loads."""

import dataclasses

import pytest

from fieldline.config import loads
from fieldline_edge.commissioning.landmarks import landmarks
from fieldline_edge.commissioning.ranges import Range
from fieldline_edge.commissioning.recognise import Found, Seen, best_of
from fieldline_edge.commissioning.report import ReportedDevice, gateway_file
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings, RegisterKind
from fieldline_edge.profiles import ProfileSettings, load_profile, profile_names
from fieldline_edge.profiles.requests import requests_of
from fieldline_edge.settings import GatewaySettings

NOTHING = Found(None, ())
PROFILES = [load_profile(name) for name in profile_names()]


def showing(profile: ProfileSettings) -> Seen:
    """A device with exactly a profile's registers."""
    ranges: dict[RegisterKind, list[Range]] = {}
    for block in requests_of(profile):
        ranges.setdefault(block.kind, []).append(Range(block.address, block.address + block.count - 1))
    words = {(one.kind, one.address + i): word for one in profile.recognise.words for i, word in enumerate(one.words)}
    said = {0: profile.recognise.vendor} if profile.recognise.vendor else {}
    return Seen(ranges, words, said)


@pytest.mark.parametrize("name", profile_names())
def test_a_device_with_a_profiles_registers_is_recognised(name: str) -> None:
    assert best_of(PROFILES, showing(load_profile(name))) == Found(name, ())


def test_a_device_that_answers_everything_is_not_taken_for_one_of_ours() -> None:
    everything = Seen({kind: [Range(0, 65_535)] for kind in RegisterKind})
    assert best_of(PROFILES, everything) == NOTHING


def test_a_device_without_the_marks_of_its_type_is_not_recognised() -> None:
    seen = dataclasses.replace(showing(load_profile("sunspec-inverter-113")), words={})
    assert best_of(PROFILES, seen).sure is None


def test_every_request_of_a_profile_has_a_landmark() -> None:
    places = landmarks(PROFILES)
    assert (23296, 2) in places[RegisterKind.HOLDING]  # the voltages of an ABB B23
    assert (40_000, 2) in places[RegisterKind.HOLDING]  # SunS
    assert all(address >= 0 and address + count <= 65_536 for kind in places.values() for address, count in kind)


def reported(seen: Seen, found: Found = NOTHING) -> ReportedDevice:
    return ReportedDevice("device-1", ["host: 10.0.0.7"], 3, seen, found)


def test_the_report_is_a_gateway_file_that_loads() -> None:
    seen = Seen(
        {RegisterKind.HOLDING: [Range(0, 2)], RegisterKind.COIL: [Range(4, 5)]},
        {(RegisterKind.HOLDING, 0): 17, (RegisterKind.COIL, 4): 1},
        {0: "ACME\n# evil: {", 1: "PM-1"},
    )
    settings = loads(gateway_file([reported(seen)], origin="test"), GatewaySettings, name="g.yaml")
    (device,) = settings.devices
    assert isinstance(device, ModbusDeviceSettings)
    assert [(tag.name, tag.address) for tag in device.tags] == [
        ("holding_0", 0),
        ("holding_1", 1),
        ("holding_2", 2),
        ("coil_4", 4),
        ("coil_5", 5),
    ]


@pytest.mark.parametrize("found", [Found("eastron-sdm630", ()), Found(None, ("eastron-sdm630", "siemens-v20"))])
def test_a_report_with_a_profile_or_without_any_register_loads(found: Found) -> None:
    text = gateway_file([reported(Seen(), found)], origin="test")
    assert "eastron-sdm630" in text
    assert loads(text, GatewaySettings, name="g.yaml").devices[0].tags
