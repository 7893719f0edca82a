"""Framers: whatever comes, in whatever pieces, only the answer to the question gets through."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.modbus.protocol import (
    AsciiFramer,
    LostTrack,
    ReadBits,
    ReadWords,
    RtuFramer,
    TcpFramer,
    WriteRegister,
    WrongAnswer,
    ascii_frame,
    rtu_frame,
)
from fieldline_edge.drivers.modbus.protocol.crc import crc16, lrc

BusKind = type[RtuFramer] | type[AsciiFramer]
BUSES = [pytest.param(RtuFramer, rtu_frame, id="rtu"), pytest.param(AsciiFramer, ascii_frame, id="ascii")]
Pack = Callable[[int, bytes], bytes]

READ = ReadWords(3, 100, 2)
ANSWER = bytes.fromhex("03 04 0102 0304")


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def test_the_checksums_are_those_of_the_standard() -> None:
    assert crc16(bytes.fromhex("02 07")) == 0x1241  # serial line guide, appendix B
    assert rtu_frame(1, bytes.fromhex("03 0000 000A")).hex() == "01030000000ac5cd"
    assert lrc(bytes.fromhex("01 03 0000 000A")) == 0xF2
    assert ascii_frame(1, bytes.fromhex("03 0000 000A")) == b":01030000000AF2\r\n"


class TestTcp:
    def test_a_request_has_header_and_pdu(self) -> None:
        assert TcpFramer().ask(17, READ) == (0, bytes.fromhex("0000 0000 0006 11 03 0064 0002"))

    def test_answers_find_their_questions_in_any_order(self) -> None:
        framer = TcpFramer()
        tickets = [framer.ask(1, READ)[0] for _ in range(3)]
        frames = b"".join(tcp_frame(t, 1, ANSWER[:-1] + bytes([t])) for t in reversed(tickets))
        assert framer.receive(frames) == [(t, ANSWER[:-1] + bytes([t])) for t in reversed(tickets)]

    @pytest.mark.parametrize("made", ["late", "twice", "never asked"])
    def test_an_answer_nobody_waits_for_is_counted_and_dropped(self, made: str) -> None:
        framer = TcpFramer()
        ticket, _ = framer.ask(1, READ)
        if made == "late":
            framer.forget(ticket)
        elif made == "twice":
            assert framer.receive(tcp_frame(ticket, 1, ANSWER))
        else:
            ticket += 1
        assert framer.receive(tcp_frame(ticket, 1, ANSWER)) == []
        assert framer.answers_skipped == 1

    def test_an_answer_of_another_unit_is_wrong(self) -> None:
        framer = TcpFramer()
        ticket, _ = framer.ask(1, READ)
        ((answered, wrong),) = framer.receive(tcp_frame(ticket, 2, ANSWER))
        assert answered == ticket
        assert isinstance(wrong, WrongAnswer)
        assert "unit 2's, asked was unit 1" in str(wrong)

    @pytest.mark.parametrize(
        "header", ["0000 0001 0003 01", "0000 0000 0001 01", "0000 0000 00FF 01", "4854 5450 2F31 2E"]
    )
    def test_a_header_that_is_none_ends_the_stream(self, header: str) -> None:
        framer = TcpFramer()
        framer.ask(1, READ)
        with pytest.raises(LostTrack, match="no Modbus TCP"):
            framer.receive(bytes.fromhex(header))

    def test_transaction_ids_go_round_and_leave_out_what_is_waited_for(self) -> None:
        framer = TcpFramer()
        first, _ = framer.ask(1, READ)
        for _ in range(65_535):
            framer.forget(framer.ask(1, READ)[0])
        assert framer.ask(1, READ)[0] == first + 1

    def test_half_an_answer_of_an_old_connection_is_forgotten(self) -> None:
        framer = TcpFramer()
        ticket, _ = framer.ask(1, READ)
        framer.receive(tcp_frame(ticket, 1, ANSWER)[:9])
        framer.reset()
        ticket, _ = framer.ask(1, READ)
        assert framer.receive(tcp_frame(ticket, 1, ANSWER)) == [(ticket, ANSWER)]

    @given(
        answers=st.lists(st.binary(min_size=1, max_size=253), min_size=1, max_size=5),
        cuts=st.lists(st.integers(0, 5000), max_size=20),
    )
    def test_cuts_make_no_difference(self, answers: list[bytes], cuts: list[int]) -> None:
        framer = TcpFramer()
        stream = b"".join(tcp_frame(framer.ask(1, READ)[0], 1, pdu) for pdu in answers)
        got = [answer for piece in in_pieces(stream, cuts) for answer in framer.receive(piece)]
        assert got == list(enumerate(answers))

    @given(data=st.lists(st.binary(max_size=300), max_size=5))
    def test_any_bytes_give_an_answer_to_the_question_or_nothing_or_lost_track(self, data: list[bytes]) -> None:
        framer = TcpFramer()
        ticket, _ = framer.ask(1, READ)
        for piece in data:
            try:
                answers = framer.receive(piece)
            except LostTrack:
                return
            assert {t for t, _ in answers} <= {ticket}


@pytest.mark.parametrize(("kind", "pack"), BUSES)
class TestBus:
    def test_a_question_is_answered(self, kind: BusKind, pack: Pack) -> None:
        framer = kind()
        ticket, frame = framer.ask(1, READ)
        assert frame == pack(1, READ.pdu)
        assert framer.receive(pack(1, ANSWER)) == [(ticket, ANSWER)]
        assert (framer.answers_skipped, framer.octets_skipped, framer.is_echoing) == (0, 0, False)

    def test_what_nobody_asked_for_is_dropped(self, kind: BusKind, pack: Pack) -> None:
        framer = kind()
        late = pack(1, ANSWER)
        assert framer.receive(late) == []
        ticket, _ = framer.ask(1, READ)
        framer.forget(ticket)
        assert framer.receive(late) == []
        assert framer.octets_skipped == 2 * len(late)

    def test_the_rest_of_a_late_answer_is_no_part_of_the_next(self, kind: BusKind, pack: Pack) -> None:
        framer = kind()
        ticket, _ = framer.ask(1, READ)
        framer.receive(pack(1, bytes.fromhex("03 04 FFFF FFFF"))[:6])
        framer.forget(ticket)
        ticket, _ = framer.ask(1, READ)
        assert framer.receive(pack(1, ANSWER)) == [(ticket, ANSWER)]

    @pytest.mark.parametrize(
        "noise",
        [
            pytest.param("foreign answer", id="another unit's answer"),
            pytest.param("broadcast", id="a broadcast of another master"),
            pytest.param("foreign question", id="another master's question to our unit"),
            pytest.param("cut", id="the first half of an answer"),
            pytest.param("spoiled", id="an answer with a flipped bit"),
            pytest.param("bytes", id="noise with our unit and function in it"),
        ],
    )
    def test_an_answer_behind_noise_is_found(self, kind: BusKind, pack: Pack, noise: str) -> None:
        framer = kind()
        ticket, _ = framer.ask(1, READ)
        spoiled = bytearray(pack(1, ANSWER))
        spoiled[5] ^= 1
        before = {
            "foreign answer": pack(2, ANSWER),
            "broadcast": pack(0, WriteRegister(1, 1).pdu),
            "foreign question": pack(1, ReadWords(3, 0, 9).pdu),
            "cut": pack(1, ANSWER)[:5],
            "spoiled": bytes(spoiled),
            "bytes": b"\x01\x03\xfa\x00\x01\x03\x04\x80\xff\x01",
        }[noise]
        assert framer.receive(before) == []
        assert framer.receive(pack(1, ANSWER)) == [(ticket, ANSWER)]
        assert framer.octets_skipped == len(before)

    def test_the_bytes_kept_while_somebody_babbles_are_bounded(self, kind: BusKind, pack: Pack) -> None:
        framer = kind()
        ticket, _ = framer.ask(1, READ)
        for _ in range(100):
            assert framer.receive(b":\x01\x03\x05" * 50) == []
        assert len(framer._buffer) <= 2048
        assert framer.receive(b"\r\n" + pack(1, ANSWER)) == [(ticket, ANSWER)]

    def test_with_local_echo_a_write_is_not_confirmed_by_its_own_echo(self, kind: BusKind, pack: Pack) -> None:
        framer = kind(local_echo=True)
        write = WriteRegister(5, 7)
        ticket, frame = framer.ask(1, write)
        assert framer.receive(frame[:3]) == []
        assert framer.receive(frame[3:]) == []
        assert framer.receive(frame) == [(ticket, write.pdu)]

    def test_without_the_setting_the_echo_of_a_read_is_skipped(self, kind: BusKind, pack: Pack) -> None:
        framer = kind()
        ticket, frame = framer.ask(1, READ)
        assert framer.receive(frame + pack(1, ANSWER)) == [(ticket, ANSWER)]
        assert framer.octets_skipped == len(frame)
        assert framer.is_echoing

    def test_an_answer_of_another_shape_is_given_out_to_be_refused(self, kind: BusKind, pack: Pack) -> None:
        framer = kind()
        ticket, _ = framer.ask(1, READ)
        assert framer.receive(pack(1, b"\x03\x02\x00\x01")) == [(ticket, b"\x03\x02\x00\x01")]

    def test_while_answers_are_owed_those_that_do_not_fit_are_skipped(self, kind: BusKind, pack: Pack) -> None:
        framer = kind()
        ticket, _ = framer.ask(1, READ, owing=True)
        late = pack(1, b"\x03\x02\x00\x01") + pack(1, b"\x84\x02")
        assert framer.receive(late) == []
        assert framer.receive(pack(1, ANSWER)) == [(ticket, ANSWER)]
        assert framer.answers_skipped == 2

    def test_a_second_answer_glued_to_the_first_is_dropped(self, kind: BusKind, pack: Pack) -> None:
        framer = kind()
        ticket, _ = framer.ask(1, READ)
        assert framer.receive(pack(1, ANSWER) * 2) == [(ticket, ANSWER)]
        ticket, _ = framer.ask(1, READ)
        other = b"\x03\x04\x00\x00\x00\x00"
        assert framer.receive(pack(1, other)) == [(ticket, other)]


ANY_BUS = st.sampled_from([(RtuFramer, rtu_frame), (AsciiFramer, ascii_frame)])
REQUESTS = [READ, ReadBits(1, 0, 20), WriteRegister(5, 7)]
GOOD = [ANSWER, bytes.fromhex("01 03 112203"), WriteRegister(5, 7).pdu]


@given(
    bus=ANY_BUS,
    question=st.integers(0, 2),
    cuts=st.lists(st.integers(0, 50), max_size=10),
    noise=st.binary(max_size=40),
)
def test_noise_and_cuts_never_hide_or_change_an_answer(bus: Any, question: int, cuts: list[int], noise: bytes) -> None:
    kind, pack = bus
    framer = kind()
    ticket, _ = framer.ask(9, REQUESTS[question])
    stream = noise + pack(9, GOOD[question])
    got = [answer for piece in in_pieces(stream, cuts) for answer in framer.receive(piece)]
    assert got == [(ticket, GOOD[question])]


@given(
    bus=ANY_BUS,
    question=st.integers(0, 2),
    data=st.lists(st.binary(max_size=300), max_size=5),
    flip=st.integers(0, 400),
)
def test_a_spoiled_answer_among_any_bytes_never_gets_through(
    bus: Any, question: int, data: list[bytes], flip: int
) -> None:
    kind, pack = bus
    framer = kind()
    framer.ask(9, REQUESTS[question])
    spoiled = bytearray(pack(9, GOOD[question]))
    spoiled[flip % len(spoiled)] ^= 1 << flip % 8
    for piece in [*data, bytes(spoiled)]:
        for _, pdu in framer.receive(piece):
            # One bit can turn a digit of ASCII into its lower case, which is the same number.
            assert (kind is AsciiFramer and pdu == GOOD[question]) or pack(9, pdu) in b"".join([*data, bytes(spoiled)])
