"""A device takes what it wants of a profile, and says the rest itself."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings, ModbusTagSettings
from fieldline_edge.profiles import ProfileSettings, expand
from fieldline_edge.profiles.catalogue import folder
from fieldline_edge.profiles.expand import ProfileMisused
from fieldline_edge.settings import GatewaySettings

PROFILE = ProfileSettings.model_validate(
    {
        "kind": "profile",
        "name": "meter",
        "title": "A meter",
        "what": "energy meter",
        "manual": {"title": "Manual", "revision": "1", "url": "https://example.com/manual"},
        "checked": "manual",
        "registers_per_request_max": 60,
        "gap_registers_max": 4,
        "tags": [
            {"name": "voltage", "kind": "input", "address": 0, "type": "float32", "unit": "V"},
            {"name": "power", "kind": "input", "address": 12, "type": "float32", "unit": "W"},
        ],
    }
)
VOLTAGE, POWER = PROFILE.tags


def written(tag: ModbusTagSettings) -> dict[str, Any]:
    return tag.model_dump(mode="json", exclude_unset=True)


def tags(*wanted: Any) -> Any:
    return expand({"tags": list(wanted)}, PROFILE)["tags"]


def test_without_tags_a_device_has_all_of_its_profile() -> None:
    assert expand({"unit": 3}, PROFILE)["tags"] is PROFILE.tags


def test_a_device_keeps_its_own_limits() -> None:
    built = expand({"gap_registers_max": 0}, PROFILE)
    assert (built["gap_registers_max"], built["registers_per_request_max"]) == (0, 60)


def test_names_choose_tags_in_the_order_of_the_list() -> None:
    assert tags("power", "voltage") == [POWER, VOLTAGE]


def test_a_mapping_with_a_known_name_changes_that_tag() -> None:
    assert tags({"name": "power", "max": 5000}) == [{**written(POWER), "max": 5000}]


def test_all_stands_for_what_the_list_does_not_name() -> None:
    assert tags("all", {"name": "power", "unit": "kW"}) == [VOLTAGE, {**written(POWER), "unit": "kW"}]


def test_a_device_may_have_a_tag_the_profile_does_not_know() -> None:
    own = {"name": "relay", "kind": "coil", "address": 0, "type": "bool"}
    assert tags("voltage", own) == [VOLTAGE, own]


@pytest.mark.parametrize("odd", [{"name": ["power"]}, {"address": 3}, 7, None])
def test_what_has_no_name_is_left_to_the_check_of_tags(odd: Any) -> None:
    assert tags("voltage", odd) == [VOLTAGE, odd]


@pytest.mark.parametrize("wanted", ["volts", {"name": "volts", "unit": "V"}])
def test_a_tag_the_profile_does_not_have_is_refused_with_the_nearest_name(wanted: Any) -> None:
    with pytest.raises(
        ProfileMisused, match=r"'volts' is no tag of profile 'meter'; did you mean 'voltage'\?"
    ) as found:
        tags("power", wanted)
    assert found.value.place == ("tags", 1)


GATEWAY = "kind: gateway\nname: g\nsite: s\nhub: 127.0.0.1:1\nspool: {path: x.db}\ndevices:\n"


def gateway(device: str) -> GatewaySettings:
    entry = "  - driver: modbus\n    name: m\n    area: a\n    host: h\n" + device
    return loads(GATEWAY + entry, GatewaySettings, name="g.yaml")


def test_a_gateway_file_may_name_a_profile() -> None:
    device = gateway("    profile: eastron-sdm630\n    tags: [power, {name: frequency, max: 60}]\n").devices[0]
    assert isinstance(device, ModbusDeviceSettings)
    assert [(tag.name, tag.max) for tag in device.tags] == [("power", None), ("frequency", 60.0)]
    assert device.registers_per_request_max == 60


def test_a_tag_of_a_profile_becomes_writable_where_the_device_says_so() -> None:
    device = gateway("    profile: waveshare-io-8ch\n    tags: [all, {name: output_1, writable: {}}]\n").devices[0]
    assert isinstance(device, ModbusDeviceSettings)
    assert [tag.name for tag in device.tags if tag.writable is not None] == ["output_1"]
    assert len(device.tags) == 16


def test_a_profile_of_ones_own_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = (folder() / "siemens-v20.yaml").read_text()
    for unit in ("rpm", "1/s"):
        file.write_text(text.replace("unit: rpm", f"unit: {unit}"))
        device = gateway(f"    profile: {file}\n    tags: [speed]\n").devices[0]
        assert device.tags[0].unit == unit


def two_devices(profile: str, tags: str = "") -> tuple[ModbusDeviceSettings, ModbusDeviceSettings]:
    entries = "".join(f"  - {{driver: modbus, name: m{n}, area: a, host: h, profile: {profile}{tags}}}\n" for n in "12")
    first, second = loads(GATEWAY + entries, GatewaySettings, name="g.yaml").devices
    assert isinstance(first, ModbusDeviceSettings)
    assert isinstance(second, ModbusDeviceSettings)
    return first, second


class TestDevicesOfOneProfile:
    def test_share_its_tags(self) -> None:
        first, second = two_devices("eastron-sdm630")
        assert first.tags is second.tags

    def test_share_those_of_a_file_of_ones_own(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.yaml"
        file.write_text((folder() / "siemens-v20.yaml").read_text())
        first, second = two_devices(str(file))
        assert first.tags is second.tags

    def test_share_what_they_leave_as_it_is(self) -> None:
        first, second = two_devices("eastron-sdm630", ", tags: [all, {name: power, max: 5000}]")
        assert all(one is other for one, other in zip(first.tags[:-1], second.tags[:-1], strict=True))
        assert first.tags[-1] is not second.tags[-1]

    def test_share_them_still_in_the_process_they_are_handed_to(self) -> None:
        first, second = pickle.loads(pickle.dumps(two_devices("eastron-sdm630")))
        assert first.tags is second.tags


def test_a_profile_sees_the_environment_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text((folder() / "siemens-v20.yaml").read_text().replace("unit: rpm", "unit: '${UNIT}'"))
    for unit in ("rpm", "1/s"):
        monkeypatch.setenv("UNIT", unit)
        assert two_devices(str(file), ", tags: [speed]")[0].tags[0].unit == unit


def test_settings_that_were_expanded_may_be_checked_again() -> None:
    device = gateway("    profile: eastron-sdm630\n").devices[0]
    again = ModbusDeviceSettings.model_validate(device.model_dump(exclude_unset=True))
    assert again == device


@pytest.mark.parametrize(
    ("device", "line", "said"),
    [
        (
            "    profile: eastron-sdm63\n",
            11,
            r"profile: 'eastron-sdm63' is no profile; did you mean 'eastron-sdm630'\?",
        ),
        ("    profile: eastron-sdm630\n    tags:\n      - powr\n", 13, r"tags\[0\]: 'powr' is no tag of profile"),
        ("    profile: 12\n", 11, "profile: 12: "),
        ("    profile: ./none.yaml\n", 11, "cannot be read"),
    ],
)
def test_a_mistake_is_said_with_its_line_and_the_profile(device: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"g\.yaml:{line}: devices\[0\]\.{said}" if "cannot" not in said else said):
        gateway(device)
