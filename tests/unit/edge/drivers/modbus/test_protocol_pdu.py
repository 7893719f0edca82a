"""Requests and answers. The bytes of the examples are those of the Modbus application protocol, section 6."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.modbus.protocol import (
    DeviceRefused,
    Identify,
    ModbusTrouble,
    ReadBits,
    ReadWords,
    Request,
    Write,
    WriteCoil,
    WriteCoils,
    WriteRegister,
    WriteRegisters,
    WrongAnswer,
    check,
)
from fieldline_edge.drivers.modbus.protocol.pdu import answer_length

ANY_REQUEST = st.one_of(
    st.builds(ReadWords, st.sampled_from([3, 4]), st.integers(0, 65_000), st.integers(1, 125)),
    st.builds(ReadBits, st.sampled_from([1, 2]), st.integers(0, 60_000), st.integers(1, 2000)),
    st.builds(WriteCoil, st.integers(0, 65_535), st.booleans()),
    st.builds(WriteRegister, st.integers(0, 65_535), st.integers(0, 65_535)),
    st.builds(WriteCoils, st.integers(0, 60_000), st.lists(st.booleans(), min_size=1, max_size=1968)),
    st.builds(WriteRegisters, st.integers(0, 65_000), st.lists(st.integers(0, 65_535), min_size=1, max_size=123)),
    st.builds(Identify, st.integers(1, 4), st.integers(0, 255)),
)


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("request_", "sent", "answer", "says"),
    [
        pytest.param(
            ReadBits(1, 0x13, 19),
            "01 0013 0013",
            "01 03 CD 6B 05",
            [1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1],
            id="coils",
        ),
        pytest.param(ReadBits(2, 0xC4, 6), "02 00C4 0006", "02 01 35", [1, 0, 1, 0, 1, 1], id="discrete inputs"),
        pytest.param(
            ReadWords(3, 0x6B, 3), "03 006B 0003", "03 06 022B 0000 0064", (555, 0, 100), id="holding registers"
        ),
        pytest.param(ReadWords(4, 8, 1), "04 0008 0001", "04 02 000A", (10,), id="input register"),
        pytest.param(WriteCoil(0xAC, True), "05 00AC FF00", "05 00AC FF00", None, id="coil on"),
        pytest.param(WriteCoil(0xAC, False), "05 00AC 0000", "05 00AC 0000", None, id="coil off"),
        pytest.param(WriteRegister(1, 3), "06 0001 0003", "06 0001 0003", None, id="register"),
        pytest.param(
            WriteCoils(0x13, [1, 0, 1, 1, 0, 0, 1, 1, 1, 0]),
            "0F 0013 000A 02 CD01",
            "0F 0013 000A",
            None,
            id="coils in a row",
        ),
        pytest.param(
            WriteRegisters(1, [10, 258]), "10 0001 0002 04 000A 0102", "10 0001 0002", None, id="registers in a row"
        ),
        pytest.param(
            Identify(1, 0),
            "2B 0E 01 00",
            "2B 0E 01 01 00 00 03 00 02 4142 01 01 43 02 02 3131",
            {0: b"AB", 1: b"C", 2: b"11"},
            id="identification",
        ),
    ],
)
def test_a_request_has_the_bytes_of_the_standard_and_understands_its_answer(
    request_: Request[object], sent: str, answer: str, says: object
) -> None:
    assert request_.pdu == octets(sent)
    assert check(request_, octets(answer)) == says


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("03 04 0001 0002", "instead of 6"),
        ("03 08 0001 0002 0003 0004", "instead of 6"),
        ("03 06 0001 0002", "instead of 6"),
        ("03 02 0001 0002 0003", "instead of 6"),
        ("03", "instead of 6"),
        ("04 06 0001 0002 0003", "function code 4 to a question with 3"),
        ("84 02", "function code 132 to a question with 3"),
        ("83", "exception of 1 bytes"),
        ("83 02 00", "exception of 3 bytes"),
    ],
)
def test_an_answer_of_another_shape_is_refused(answer: str, why: str) -> None:
    with pytest.raises(WrongAnswer, match=why):
        check(ReadWords(3, 100, 3), octets(answer))


@pytest.mark.parametrize(
    ("write", "answer"),
    [
        (WriteCoil(5, True), "05 0005 0000"),
        (WriteCoil(5, True), "05 0006 FF00"),
        (WriteRegister(5, 7), "06 0005 0008"),
        (WriteRegister(5, 7), "06 0004 0007"),
        (WriteRegister(5, 7), "06 0005 0007 00"),
        (WriteCoils(5, [1, 1]), "0F 0005 0003"),
        (WriteRegisters(5, [1, 1]), "10 0006 0002"),
    ],
)
def test_a_write_is_done_only_if_exactly_it_is_confirmed(write: Write, answer: str) -> None:
    with pytest.raises(WrongAnswer, match="confirms"):
        check(write, octets(answer))


@pytest.mark.parametrize(
    ("code", "gone"), [(1, False), (2, False), (6, False), (0x0A, True), (0x0B, True), (99, False)]
)
def test_an_exception_carries_its_code(code: int, gone: bool) -> None:
    with pytest.raises(DeviceRefused, match=f"exception code {code}") as caught:
        check(ReadWords(3, 0, 1), bytes([0x83, code]))
    assert (caught.value.code, caught.value.is_unit_gone) == (code, gone)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (ReadWords, (3, 0, 126)),
        (ReadWords, (3, 0, 0)),
        (ReadWords, (3, 65_535, 2)),
        (ReadWords, (1, 0, 1)),
        (ReadBits, (1, 0, 2001)),
        (ReadBits, (3, 0, 1)),
        (WriteRegister, (0, 65_536)),
        (WriteRegister, (0, -1)),
        (WriteRegister, (65_536, 0)),
        (WriteRegisters, (0, [0] * 124)),
        (WriteRegisters, (65_535, [0, 0])),
        (WriteRegisters, (0, [])),
        (WriteCoils, (0, [1] * 1969)),
        (Identify, (5, 0)),
    ],
)
def test_what_the_standard_does_not_allow_is_not_asked(kind: type, arguments: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        kind(*arguments)


@given(words=st.lists(st.integers(0, 65_535), min_size=1, max_size=125))
def test_words_come_back_as_they_were_sent(words: list[int]) -> None:
    answer = struct.pack(f">BB{len(words)}H", 3, 2 * len(words), *words)
    request = ReadWords(3, 0, len(words))
    assert check(request, answer) == tuple(words)


@given(bits=st.lists(st.integers(0, 1), min_size=1, max_size=2000))
def test_bits_come_back_as_they_were_sent(bits: list[int]) -> None:
    written = WriteCoils(0, bits).pdu[6:] if len(bits) <= 1968 else None
    if written is not None:
        assert check(ReadBits(1, 0, len(bits)), bytes([1, len(written)]) + written) == bits


@given(request_=ANY_REQUEST, pdu=st.binary(min_size=1, max_size=260))
def test_no_answer_raises_anything_but_what_is_said(request_: Request[object], pdu: bytes) -> None:
    try:
        says = check(request_, pdu)
    except ModbusTrouble:
        return
    assert pdu[0] == request_.function
    assert says is None or isinstance(says, dict) or len(says) == request_.count  # type: ignore[arg-type, attr-defined]  # reads have a count


@given(request_=ANY_REQUEST, pdu=st.binary(max_size=260))
def test_the_length_of_an_answer_is_known_from_its_beginning(request_: Request[object], pdu: bytes) -> None:
    length = answer_length(pdu)
    if length is not None:
        assert 0 <= length <= 253
    for cut in range(min(len(pdu), 12)):
        assert answer_length(pdu[:cut]) in (None, length)
