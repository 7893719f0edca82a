"""Requests and replies say in headers what belongs together; hostile ones lead nowhere."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.client.questions import (
    Address,
    Question,
    Reply,
    address_of,
    failure_headers,
    read_reply,
    request_headers,
)
from fieldline.wire.frames import check_headers

NOW_MS = 1_700_000_000_000
INBOX = "$inbox/agent/0123"


class Arrived:
    class delivery:  # stands for an attribute
        producer = "worker"

    def __init__(self, content: bytes, headers: dict[str, str]) -> None:
        self.content = content
        self.headers = headers


def headers_of(**changed: str) -> dict[str, str]:
    made = request_headers({"h": "v"}, inbox=INBOX, request_id="7", timeout_s=1.5, now_ms=NOW_MS)
    return {**made, **{name.replace("_", "-"): value for name, value in changed.items()}}


def test_a_request_says_where_its_reply_goes_and_until_when() -> None:
    made = headers_of()
    assert made["h"] == "v"
    assert address_of(made, now_ms=NOW_MS + 5) == Address(INBOX, "7", NOW_MS + 1500)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fl_reply_to": "readings/site/area/device"},
        {"fl_reply_to": "$sys/agents"},
        {"fl_reply_to": "$inbox/#"},
        {"fl_reply_to": "$inbox/"},
        {"fl_reply_to": "$inbox/" + "x" * 300},
        {"fl_reply_to": ""},
        {"fl_request_id": ""},
    ],
)
def test_a_reply_goes_to_an_inbox_or_nowhere(wrong: dict[str, str]) -> None:
    assert address_of(headers_of(**wrong), now_ms=NOW_MS) is None


@pytest.mark.parametrize("said", ["", "soon", "-5", "١٢٣", "9" * 30, "1e9"])
def test_a_deadline_that_cannot_be_read_is_half_a_minute(said: str) -> None:
    address = address_of(headers_of(fl_deadline_ms=said), now_ms=NOW_MS)
    assert address is not None
    assert address.deadline_ms == NOW_MS + 30_000


def test_no_deadline_is_later_than_a_frame_can_live() -> None:
    address = address_of(headers_of(fl_deadline_ms="9" * 18), now_ms=NOW_MS)
    assert address is not None
    assert address.deadline_ms == NOW_MS + 49 * 86_400_000


def test_a_reply_comes_back_with_its_own_headers_and_its_author() -> None:
    arrived: Any = Arrived(b"42", {"fl-request-id": "7", "unit": "mm"})
    assert read_reply(arrived) == ("7", Reply(b"42", {"unit": "mm"}, "worker"))


@given(st.text(max_size=2000))
def test_whatever_a_handler_raises_can_travel(text: str) -> None:
    made = failure_headers("7", ValueError(text + "\ud800"))
    check_headers(made)
    arrived: Any = Arrived(b"", made)
    assert read_reply(arrived)[1].failed.startswith("ValueError: ")


def test_a_question_is_answered_by_so_many_replies() -> None:
    question = Question(replies_max=2, bytes_max=1000)
    assert [question.add(Reply(b"x")) for _ in range(3)] == [False, True, True]
    assert len(question.replies) == 2


@given(st.lists(st.binary(max_size=40)), st.integers(1, 1000))
def test_replies_never_take_more_than_their_bytes(contents: list[bytes], bytes_max: int) -> None:
    question = Question(replies_max=None, bytes_max=bytes_max)
    for content in contents:
        question.add(Reply(content))
    assert sum(100 + len(reply.content) for reply in question.replies) <= bytes_max
    if sum(100 + len(content) for content in contents) < bytes_max:
        assert [reply.content for reply in question.replies] == contents
        assert not question.is_answered
