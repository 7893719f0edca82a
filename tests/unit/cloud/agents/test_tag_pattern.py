"""Which tags a pattern means."""

import pytest

from fieldline.errors import BadName
from fieldline.model import DeviceId
from fieldline_cloud.agents.tag_pattern import MatchSettings, TagPattern, check_pattern
from tests.unit.cloud.agents.doubles import PUMP


@pytest.mark.parametrize(
    ("device", "tag", "matches"),
    [
        ("+/+/+", "+", True),
        ("demo/hall-*/pump-?", "vib*", True),
        ("demo/hall-a/pump-[12]", "vibration", True),
        ("*/pump-2/+", "*", False),
        ("demo/hall-a/pump", "*", False),
        ("Demo/hall-a/pump-2", "*", False),
        ("+/+/+", "vib", False),
    ],
)
def test_each_level_has_a_pattern_that_does_not_reach_beyond_it(device: str, tag: str, matches: bool) -> None:
    assert TagPattern(device, tag).matches(PUMP, "vibration") is matches


def test_settings_that_say_nothing_mean_all_tags() -> None:
    assert MatchSettings().pattern().matches(DeviceId("a", "b", "c"), "x")


@pytest.mark.parametrize("device", ["pump-1", "a/b/c/d", "a//c"])
def test_a_pattern_without_three_levels_is_refused(device: str) -> None:
    with pytest.raises(BadName, match="site/area/device"):
        check_pattern(device)
