"""Every profile that comes with the package is whole, readable in few requests, and says where it is from."""

from pathlib import Path

import pytest

from fieldline_edge.cli.profiles import shown
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.profiles import Checked, load_profile, profile_names
from fieldline_edge.profiles.catalogue import folder
from fieldline_edge.profiles.requests import requests_of

NAMES = profile_names()


def test_there_are_profiles_for_at_least_eight_devices() -> None:
    assert len(NAMES) >= 8


@pytest.mark.parametrize("what", ["energy meter", "frequency inverter", "temperature", "solar inverter", "module"])
def test_there_is_a_profile_for_each_kind_of_device_that_is_common(what: str) -> None:
    assert any(what in load_profile(name).what for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_it_is_called_like_its_file(self, name: str) -> None:
        assert load_profile(name).name == name

    def test_it_says_that_it_was_not_tried_on_the_device(self, name: str) -> None:
        assert load_profile(name).checked in (Checked.MANUAL, Checked.MAP)

    def test_it_names_the_document_it_was_written_from(self, name: str) -> None:
        assert load_profile(name).manual is not None

    def test_it_says_what_is_from_where(self, name: str) -> None:
        assert load_profile(name).notes

    def test_its_tags_are_planned_within_its_limits(self, name: str) -> None:
        profile = load_profile(name)
        blocks = requests_of(profile)
        assert sorted(i for block in blocks for i in block.spans) == list(range(len(profile.tags)))
        assert all(block.kind.is_bits or block.count <= profile.registers_per_request_max for block in blocks)

    def test_a_device_needs_nothing_but_its_name(self, name: str) -> None:
        device = {"driver": "modbus", "name": "d", "area": "a", "host": "h", "profile": name}
        settings, profile = ModbusDeviceSettings.model_validate(device), load_profile(name)
        assert (settings.tags, settings.derived) == (profile.tags, profile.derived)

    def test_no_two_tags_stand_at_the_same_place(self, name: str) -> None:
        places = [(tag.kind, tag.address, tag.bit) for tag in load_profile(name).tags]
        assert len(set(places)) == len(places)


def test_the_profiles_stand_where_they_are_looked_for() -> None:
    assert (folder() / "eastron-sdm630.yaml").is_file()


def test_a_profile_of_ones_own_needs_a_name_and_tags_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("kind: profile\nname: mine\ntags: [{name: t, address: 0, type: int16}]\n")

    assert shown(load_profile(str(file)))[0] == "mine"
