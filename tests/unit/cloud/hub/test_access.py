"""Who may do what, decided without a hub."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.topics import matches
from fieldline_cloud.hub.core.access import Account, Accounts, Claims, Identity, TokenBucket, covers, owns
from fieldline_cloud.hub.core.audit import Repeats

GATEWAY = Identity("edge-7", publish=("readings/site/edge-7/#",), subscribe=("commands/edge-7/+",))
AGENT = Identity("anomaly", publish=("alerts/#",), subscribe=("readings/#", "alerts/+/+/pump"), durables=("shared-*",))
IDLE = Identity("idle")


@pytest.mark.parametrize(
    ("granted", "wanted", "may"),
    [
        ("#", "#", True),
        ("#", "a/+/#", True),
        ("a/#", "a", True),
        ("a/#", "a/#", True),
        ("a/#", "a/b/+", True),
        ("a/+", "a/b", True),
        ("a/+", "a/+", True),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/#", False),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/b", "a/+", False),
        ("a/b", "a/#", False),
        ("a", "#", False),
        ("a/#", "+/b", False),
        ("a/b/#", "a/#", False),
        ("#", "$sys/agents", False),
        ("+/agents", "$sys/agents", False),
        ("$sys/#", "$sys/+", True),
        ("a/#", "ab/c", False),
    ],
)
def test_a_grant_covers_a_filter_only_as_a_whole(granted: str, wanted: str, may: bool) -> None:
    assert covers(granted, wanted) is may


LEVELS = st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4)
FILTERS = st.builds(lambda levels, rest: "/".join(levels + ["#"] * rest), LEVELS, st.booleans())
TOPICS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5).map("/".join)


@given(FILTERS, FILTERS, TOPICS)
def test_nothing_gets_through_a_covered_filter_that_the_grant_does_not_match(
    granted: str, wanted: str, topic: str
) -> None:
    if covers(granted, wanted) and matches(wanted, topic):
        assert matches(granted, topic)


@pytest.mark.parametrize(
    ("identity", "verb", "topic", "may"),
    [
        (GATEWAY, "publish", "readings/site/edge-7/pump", True),
        (GATEWAY, "publish", "readings/site/edge-8/pump", False),
        (GATEWAY, "publish", "alerts/site/edge-7/pump", False),
        (GATEWAY, "publish", "commands/edge-7/go", False),
        (GATEWAY, "subscribe", "commands/edge-7/go", True),
        (GATEWAY, "subscribe", "commands/+/go", False),
        (GATEWAY, "subscribe", "readings/site/edge-7/#", False),
        (AGENT, "publish", "alerts/a/b/c", True),
        (AGENT, "publish", "readings/a/b/c", False),
        (AGENT, "subscribe", "readings/+/+/+", True),
        (AGENT, "subscribe", "alerts/a/b/pump", True),
        (AGENT, "subscribe", "alerts/#", False),
        (AGENT, "subscribe", "#", False),
        (IDLE, "publish", "a", False),
        (IDLE, "subscribe", "a", False),
    ],
)
def test_what_is_not_granted_is_denied(identity: Identity, verb: str, topic: str, may: bool) -> None:
    account = Account(identity)
    ask = account.why_no_publish if verb == "publish" else account.why_no_subscribe

    assert bool(ask(topic)) is not may
    assert bool(ask(topic)) is not may, "and the same the second time"


@pytest.mark.parametrize(
    ("name", "owned"),
    [
        ("edge-7", True),
        ("edge-7.backfill", True),
        ("edge-77", False),
        ("edge-7-b", False),
        ("edge", False),
        ("shared-a", True),
        ("one", True),
        ("one.more", False),
    ],
)
def test_a_name_belongs_to_its_identity_or_is_granted(name: str, owned: bool) -> None:
    assert owns("edge-7", name, ("shared-*", "one")) is owned


def test_a_refusal_names_who_what_and_the_cure() -> None:
    why = Account(GATEWAY).why_no_publish("alerts/x")

    assert "'edge-7'" in why
    assert "'alerts/x'" in why
    assert "publish in hub.yaml" in why
    assert "readings/site/edge-7/#" in why


def test_a_bucket_lets_a_burst_pass_and_then_the_rate() -> None:
    bucket = TokenBucket(10, now_s=0.0)

    passed = [at for at in range(100) if bucket.take(1, at / 20) == 0.0]  # 20 a second for 5 s

    assert 50 <= len(passed) <= 61


def test_a_frame_larger_than_the_burst_passes_and_is_paid_for_afterwards() -> None:
    bucket = TokenBucket(1000, now_s=0.0)

    assert bucket.take(10_000, 0.0) == 0.0
    assert bucket.take(1, 0.0) == pytest.approx(9.5)
    assert bucket.take(1, 8.9) > 0
    assert bucket.take(1, 9.5) == 0.0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(2, now_s=10.0)

    assert [bucket.take(1, at) == 0.0 for at in (10.0, 10.0, 9.0, 5.0)] == [True, True, False, False]


def test_both_rates_of_an_identity_hold() -> None:
    account = Account(Identity("a", frames_s_max=2, bytes_s_max=100))

    assert account.wait_s(10, 0.0) == 0.0
    assert account.wait_s(200, 0.0) == 0.0
    assert account.wait_s(10, 0.0) > 0, "no frame is left"
    assert account.wait_s(10, 1.0) > 0, "bytes are missing still"
    assert account.wait_s(10, 3.0) == 0.0
    assert "2 frames/s and 100 bytes/s" in account.over_rate()


def test_streams_are_counted_against_their_limit() -> None:
    account = Account(Identity("a", streams_max=1))

    assert account.why_no_stream() == ""
    account.streams = 1
    assert "limits.streams" in account.why_no_stream()


def test_an_unknown_identity_has_no_account() -> None:
    accounts = Accounts([GATEWAY])

    assert accounts.get("edge-7") is not None
    assert accounts.get("edge-8") is None


def test_somebody_who_knocks_all_the_time_is_logged_once_a_minute() -> None:
    repeats = Repeats()

    said = [repeats.worth_saying("a", "denied", at) for at in range(0, 130, 10)]

    assert said == [0, *[None] * 5, 5, *[None] * 5, 5]
    assert repeats.worth_saying("b", "denied", 0) == 0


def test_the_memory_of_knocks_is_bounded() -> None:
    repeats = Repeats()

    for number in range(5000):
        repeats.worth_saying(str(number), "denied", 0)

    assert len(repeats._seen) <= 1024


def test_only_who_was_granted_it_looks_after_the_hub() -> None:
    assert Account(Identity("operator", admin=True)).why_no_admin() == ""
    assert Account(AGENT).why_no_admin() == (
        "identity 'anomaly' may not look after this hub; give it admin: true in hub.yaml"
    )


CLAIMS = Claims(client="edge", producer="edge.a", durable="edge.cursor", filters=("commands/edge/#",))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, ""),
        ({"subscribe": ("commands/#",)}, ""),
        ({"subscribe": ()}, "subscribe to 'commands/edge/#'"),
        ({"subscribe": ("commands/edge/one",)}, "subscribe to 'commands/edge/#'"),
        ({"publish": ()}, ""),
    ],
)
def test_a_stream_may_go_on_while_all_it_was_opened_with_is_granted(changed: dict[str, Any], says: str) -> None:
    before = Identity("edge", publish=("a",), subscribe=("commands/edge/#",))
    accounts = Accounts([before])
    account = accounts.get("edge")
    assert account is not None
    assert account.why_not(CLAIMS) == ""

    accounts.become([replace(before, **changed)])

    assert accounts.get("edge") is account
    assert says in account.why_not(CLAIMS)
    assert bool(says) == bool(account.why_not(CLAIMS))


def test_names_that_were_granted_and_are_no_longer_end_a_stream() -> None:
    before = Identity("edge", producers=("other*",), durables=("shared",))
    accounts = Accounts([before])
    account = accounts.get("edge")
    assert account is not None

    for claims in (Claims(client="other-1"), Claims(producer="other-1"), Claims(durable="shared")):
        accounts.become([before])
        assert not account.why_not(claims)
        accounts.become([Identity("edge")])
        assert "may not use" in account.why_not(claims)


def test_an_identity_that_was_taken_out_may_do_nothing_and_one_that_was_added_may() -> None:
    accounts = Accounts([Identity("old", publish=("#",))])
    old = accounts.get("old")
    assert old is not None
    assert not old.why_no_publish("a")

    accounts.become([Identity("new", publish=("#",))])

    assert accounts.get("old") is None
    assert "taken out" in old.why_not(Claims())
    assert old.why_no_publish("a"), "what was remembered is forgotten"
    new = accounts.get("new")
    assert new is not None
    assert not new.why_no_publish("a")


def test_new_rates_hold_at_once() -> None:
    accounts = Accounts([Identity("edge", frames_s_max=1)])
    account = accounts.get("edge")
    assert account is not None
    assert account.wait_s(1, now_s=0) == 0
    assert account.wait_s(1, now_s=0) > 0

    accounts.become([Identity("edge", frames_s_max=100)])

    assert account.wait_s(1, now_s=0) == 0


def test_who_comes_back_too_early_is_told_so_before_anything_is_taken() -> None:
    account = Account(Identity("edge", frames_s_max=10, bytes_s_max=1000))
    assert account.debt_s(now_s=0) == 0
    account.wait_s(5_000, now_s=0)

    assert account.debt_s(now_s=1) == account.debt_s(now_s=1) > 3
    assert account.debt_s(now_s=4.1) == 0
