"""The topic index gives what fieldline.topics.matches gives, however it came to be."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.topics import check_filter, check_topic, matches
from fieldline_cloud.hub.core import topic_index
from fieldline_cloud.hub.core.topic_index import TopicIndex

LEVEL = st.sampled_from(["a", "b", "$s", "$"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join)
FILTER = st.builds(
    lambda levels, rest: "/".join([*levels, "#"] if rest or not levels else levels),
    st.lists(st.one_of(LEVEL, st.just("+")), max_size=4),
    st.booleans(),
)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.lists(FILTER, min_size=1, max_size=4), st.booleans()), max_size=25),
    st.lists(TOPIC, min_size=1, max_size=6),
)
def test_the_index_agrees_with_matches(steps: list[tuple[int, list[str], bool]], topics: list[str]) -> None:
    index: TopicIndex[int] = TopicIndex()
    there: dict[int, list[str]] = {}
    for subscriber, filters, ask in steps:
        if subscriber in there:
            index.remove(subscriber, there.pop(subscriber))
        else:
            index.add(subscriber, [check_filter(one) for one in filters])
            there[subscriber] = filters
        for topic in topics if ask else ():
            found = index.match(check_topic(topic))
            assert sorted(found) == sorted(
                one for one, filters in there.items() if any(matches(each, topic) for each in filters)
            )
    for subscriber, filters in there.items():
        index.remove(subscriber, filters)
    kept = [index._root.below, index._root.here, index._root.rest]
    assert not any(kept)  # nothing stays of those that left
    assert all(index.match(topic) == () for topic in topics)


def test_the_cache_has_a_bound() -> None:
    index: TopicIndex[int] = TopicIndex()
    index.add(1, ["#"])
    for number in range(topic_index._CACHE_TOPICS_MAX + 10):
        assert index.match(f"t/{number}") == (1,)
        assert len(index._cache) <= topic_index._CACHE_TOPICS_MAX


def test_removing_what_was_never_added_changes_nothing() -> None:
    index: TopicIndex[int] = TopicIndex()
    index.add(1, ["a/b"])
    index.remove(2, ["a/b", "a/c/d", "x/#"])
    assert index.match("a/b") == (1,)
