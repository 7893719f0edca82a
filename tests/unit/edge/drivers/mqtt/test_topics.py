import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from fieldline.topics import check_name
from fieldline_edge.drivers.mqtt.topics import Places, TopicPattern, clean_name

LEVELS = st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=4)
WANTED = st.lists(st.sampled_from(["a", "b", "", "+"]), min_size=1, max_size=4)


def test_names_are_taken_from_whole_levels() -> None:
    pattern = TopicPattern("plant/{area}/{device}/+/{tag}")
    assert pattern.subscription == "plant/+/+/+/+"
    assert pattern.match("plant/hall b/env-1/x/temp") == Places(None, "hall b", "env-1", "temp")
    assert pattern.match("plant/hall/env-1/temp") is None


def test_a_shared_subscription_is_matched_without_its_group() -> None:
    pattern = TopicPattern("$share/gw/plant/{device}/#")
    pattern.check()
    assert pattern.subscription == "$share/gw/plant/+/#"
    assert pattern.match("plant/env-1/a/b") == Places(device="env-1")
    assert TopicPattern("$share/gw/plant/a").exact_topic == "plant/a"


@given(WANTED, st.booleans(), LEVELS)
def test_matching_is_that_of_paho(wanted: list[str], rest: bool, given_levels: list[str]) -> None:
    topic_filter = "/".join([*wanted, *(["#"] if rest else [])])
    topic = "/".join(given_levels)
    if topic and topic_filter:
        assert (TopicPattern(topic_filter).match(topic) is not None) == topic_matches_sub(topic_filter, topic)


@given(st.text(max_size=200))
def test_a_clean_name_is_a_name_or_empty(level: str) -> None:
    name = clean_name(level)
    assert not name or check_name(name) == name


@pytest.mark.parametrize(("level", "name"), [("env-1", "env-1"), ("hall b/ü", "hall_b__"), ("..", ""), ("", "")])
def test_strange_characters_become_underscores(level: str, name: str) -> None:
    assert clean_name(level) == name
