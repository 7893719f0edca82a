"""Which policy a topic has, and what hub.yaml may say about topics."""

import pytest

from fieldline.config import load, loads
from fieldline.errors import ConfigError
from fieldline_cloud.hub.core.policies import TopicPolicies, TopicPolicy
from fieldline_cloud.hub.settings import HubSettings

ALERTS = TopicPolicy("alerts/+/critical", age_ms_max=1)
ANY_ALERTS = TopicPolicy("alerts/#", last_value=True)


def settings(text: str) -> HubSettings:
    return loads(f"kind: hub\n{text}", HubSettings, name="hub.yaml")


def test_the_first_pattern_that_matches_decides() -> None:
    policies = TopicPolicies([ALERTS, ANY_ALERTS])
    for _ in range(2):  # the second time from memory
        assert policies.of("alerts/a/critical") is ALERTS
        assert policies.of("alerts/a/minor") is ANY_ALERTS
        assert policies.of("readings/a") == TopicPolicy()


@pytest.mark.parametrize(
    ("topic", "durable"),
    [("$sys/agents", False), ("$inbox/a/1", False), ("$dead/d/t", True), ("$other", True), ("a", True)],
)
def test_what_the_hub_itself_uses_has_policies_of_its_own(topic: str, durable: bool) -> None:
    everything = TopicPolicies([TopicPolicy("#", frames_max=1)])
    assert everything.of(topic).durable is durable
    assert everything.of(topic).frames_max == (1 if topic == "a" else None)


def test_a_file_may_say_otherwise_about_them() -> None:
    assert TopicPolicies([TopicPolicy("$sys/#", age_ms_max=5)]).of("$sys/agents").durable


def test_a_flood_of_topics_does_not_fill_the_memory() -> None:
    policies = TopicPolicies([ANY_ALERTS], remembered_max=10)
    for n in range(1_000):
        assert policies.of(f"alerts/{n}") is ANY_ALERTS
        assert len(policies._remembered) <= 10


def test_only_retention_of_its_own_or_last_values_make_a_topic_special() -> None:
    assert not TopicPolicies([TopicPolicy("a", partitions=3, frame_bytes_max=5)]).any_keeps_its_own
    assert TopicPolicies([TopicPolicy("a", frames_max=3)]).any_keeps_its_own
    assert TopicPolicies([ANY_ALERTS]).any_keeps_its_own


def test_the_file_becomes_policies() -> None:
    policies = settings(
        "topics:\n"
        "  - filter: alerts/#\n"
        "    last_value: true\n"
        "    retention: {age_h_max: 0.5, bytes_max: 4096, frames_max: 7}\n"
        "  - {filter: jobs/+, partitions: 16, frame_bytes_max: 65536, message_bytes_max: 100}\n"
        "  - {filter: live/#, durable: false}\n"
    ).topic_policies()
    assert policies.of("alerts/x") == TopicPolicy(
        "alerts/#", age_ms_max=1_800_000, bytes_max=4096, frames_max=7, last_value=True
    )
    assert policies.of("jobs/a") == TopicPolicy("jobs/+", partitions=16, frame_bytes_max=65536, message_bytes_max=100)
    assert policies.of("live/x/y") == TopicPolicy("live/#", durable=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("topics: [{filter: 'a/#/b'}]", "'#' must be the whole last level"),
        ("topics: [{filter: a, durable: false, last_value: true}]", "what is not durable is not kept"),
        ("topics: [{filter: a, durable: false, retention: {frames_max: 1}}]", "leave retention out"),
        ("topics: [{filter: a, partitions: 0}]", "partitions"),
        ("topics: [{filter: a, partitions: 1025}]", "partitions"),
        ("topics: [{filter: a, retention: {frames_max: 0}}]", "frames_max"),
        ("topics: [{filter: a, frame_bytes_max: 2000000}]", "frame_bytes_max"),
        (
            "limits: {frame_bytes_max: 4096}\ntopics: [{filter: a, frame_bytes_max: 8192}]",
            "above limits.frame_bytes_max 4096; lower the one or raise the other",
        ),
        ("topics: [{filter: 'a/#'}, {filter: a/b}]", "put the particular before the general"),
        ("topics: [{filter: a}, {filter: a}]", "decides first for all its topics"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_cure(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(text)


@pytest.mark.parametrize("path", ["config/hub.yaml", "config/demo/hub.yaml"])
def test_the_files_that_come_with_fieldline_are_right(path: str) -> None:
    load(path, HubSettings, environment={})


def test_the_sample_keeps_alerts_longer_than_readings() -> None:
    policies = load("config/hub.yaml", HubSettings, environment={}).topic_policies()
    alerts, readings = policies.of("alerts/a/b/c"), policies.of("readings/a/b/c")
    assert (alerts.age_ms_max or 0) > (readings.age_ms_max or 0) > 0
    assert alerts.last_value
