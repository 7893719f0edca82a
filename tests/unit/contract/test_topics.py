"""Topics, filters and names: MQTT's rules, and ours about empty levels and lengths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.errors import BadName, BadTopic
from fieldline.topics import check_filter, check_name, check_topic, matches


@pytest.mark.parametrize(
    ("topic_filter", "topic", "match"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/b", "A/b", False),
        ("+", "a", True),
        ("+", "a/b", False),
        ("+/+", "a/b", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/c", False),
        ("a/+", "a", False),
        ("#", "a", True),
        ("#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("+/#", "a", True),
        ("+/b/#", "a/b", True),
        ("#", "$sys/agents", False),
        ("+/agents", "$sys/agents", False),
        ("$sys/#", "$sys/agents", True),
        ("$sys/+", "$sys/agents", True),
        ("a/+", "a/$b", True),
        ("a/#", "a/$b", True),
    ],
)
def test_filters_match_as_in_mqtt(topic_filter: str, topic: str, match: bool) -> None:
    assert matches(check_filter(topic_filter), check_topic(topic)) is match


@pytest.mark.parametrize("topic", ["a", "a/b", "$sys", "ü/°C", "a b", "/".join("abcdefghijklmnop"), "t" * 255])
def test_good_topics_are_topics_and_filters(topic: str) -> None:
    assert check_topic(topic) == check_filter(topic) == topic


@pytest.mark.parametrize(
    "topic",
    ["", "/", "/a", "a/", "a//b", "a\x00", "a\nb", "\x7f", "t" * 256, "ü" * 128, "/".join("a" * 17), "\ud800"],
)
def test_bad_topics_are_neither(topic: str) -> None:
    with pytest.raises(BadTopic):
        check_topic(topic)
    with pytest.raises(BadTopic):
        check_filter(topic)


@pytest.mark.parametrize("topic", ["+", "#", "a/+", "a/#", "a+", "a#b"])
def test_wildcards_are_no_topics(topic: str) -> None:
    with pytest.raises(BadTopic):
        check_topic(topic)


@pytest.mark.parametrize("topic_filter", ["#/a", "a/#/b", "a#", "a/b#", "a+", "+a", "a/b+/c", "++", "##"])
def test_a_wildcard_must_be_a_whole_level(topic_filter: str) -> None:
    with pytest.raises(BadTopic):
        check_filter(topic_filter)


LEVELS = st.lists(st.sampled_from(["a", "b", "$c"]), min_size=1, max_size=5)


@given(LEVELS, st.data())
def test_a_filter_made_from_a_topic_matches_it(levels: list[str], data: st.DataObject) -> None:
    wanted = [data.draw(st.sampled_from([level, "+"])) if index else level for index, level in enumerate(levels)]
    cut = data.draw(st.integers(1, len(wanted)))
    assert matches("/".join(wanted), "/".join(levels))
    assert matches("/".join([*wanted[:cut], "#"]), "/".join(levels))


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        check_name(text)
    except BadName:
        return
    assert 1 <= len(text) <= 64
    assert text.isascii()
    assert set(text) != {"."}
    assert not set(text) & set("/\\ \n\x00")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a\n", "ü", "x" * 65, "\x00", "٣"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(BadName):
        check_name(name)
