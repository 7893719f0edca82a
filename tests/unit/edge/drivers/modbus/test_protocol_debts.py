"""What is owed, and the question that clears it up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.modbus.protocol import Debts, ReadBits, ReadWords, Request, WriteCoil, WriteRegister
from tests.unit.edge.drivers.modbus.test_protocol_pdu import ANY_REQUEST

READ = ReadWords(3, 100, 10)


def test_without_debts_nothing_is_asked_before() -> None:
    debts = Debts()
    assert not debts.owes(1, 0.0)
    assert debts.detour(1, READ, 0.0) is None


def test_a_question_of_another_length_needs_no_detour() -> None:
    debts = Debts()
    debts.owe(1, READ, 0.0)
    assert debts.owes(1, 1.0)
    assert debts.detour(1, ReadWords(3, 100, 9), 1.0) is None
    assert debts.detour(1, ReadWords(4, 100, 10), 1.0) is None


@pytest.mark.parametrize(
    ("request_", "address", "count"),
    [(READ, 100, 9), (ReadWords(3, 65_535, 1), None, None), (ReadWords(3, 5, 1), 5, 2), (ReadBits(1, 5, 20), 5, 12)],
)
def test_the_detour_reads_the_same_place_in_another_length(
    request_: Request[object], address: int | None, count: int | None
) -> None:
    debts = Debts()
    debts.owe(1, request_, 0.0)
    detour = debts.detour(1, request_, 1.0)
    if address is None:
        assert detour is None, "there is no other length at the end of the table"
    else:
        assert isinstance(detour, ReadWords | ReadBits)
        assert (detour.function, detour.address, detour.count) == (request_.function, address, count)


@pytest.mark.parametrize(("write", "function"), [(WriteRegister(7, 1), 3), (WriteCoil(7, True), 1)])
def test_before_a_write_its_place_is_read(write: Request[None], function: int) -> None:
    debts = Debts()
    debts.owe(1, write, 0.0)
    detour = debts.detour(1, write, 1.0)
    assert isinstance(detour, ReadWords | ReadBits)
    assert (detour.function, detour.address) == (function, 7)


def test_debts_belong_to_a_unit_and_end_by_an_answer_or_after_a_minute() -> None:
    debts = Debts()
    debts.owe(1, READ, 0.0)
    assert not debts.owes(2, 1.0)
    debts.settle(1)
    assert not debts.owes(1, 1.0)
    debts.owe(1, READ, 0.0)
    assert debts.owes(1, 59.9)
    assert not debts.owes(1, 60.0)


def test_an_exception_settles_one_debt_only() -> None:
    debts = Debts()
    debts.owe(1, READ, 0.0)
    debts.owe(1, READ, 0.0)
    debts.settle_oldest(1)
    assert debts.owes(1, 1.0)
    debts.settle_oldest(1)
    assert not debts.owes(1, 1.0)
    debts.settle_oldest(1)


@given(requests=st.lists(ANY_REQUEST, min_size=1, max_size=30))
def test_a_detour_looks_like_nothing_that_is_owed(requests: list[Request[object]]) -> None:
    debts = Debts()
    for request in requests:
        debts.owe(1, request, 0.0)
    detour = debts.detour(1, requests[-1], 1.0)
    owed = {(request.function, request.answer_bytes) for request in requests[-8:]}
    assert detour is None or (detour.function, detour.answer_bytes) not in owed
