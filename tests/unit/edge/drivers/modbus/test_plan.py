import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.modbus.plan import Block, Span, plan
from fieldline_edge.drivers.modbus.settings import RegisterKind

KINDS = list(RegisterKind)


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    """Values of all kinds, in clusters and far apart, overlapping or not."""
    found = []
    for _ in range(draw(st.integers(0, 60))):
        kind = draw(st.sampled_from(KINDS))
        width = 1 if kind.is_bits else draw(st.sampled_from([1, 2, 4]))
        address = draw(st.one_of(st.integers(0, 80), st.integers(0, 65_535 - width + 1)))
        found.append(Span(kind, address, width))
    return found


def limit(block: Block, registers_max: int) -> int:
    return registers_max * 16 if block.kind.is_bits else registers_max


@given(spans(), st.integers(4, 125), st.integers(0, 30))
def test_every_value_is_read_exactly_once_and_whole(found: list[Span], most: int, gap: int) -> None:
    blocks = plan(found, registers_max=most, gap_max=gap)
    assert sorted(i for block in blocks for i in block.spans) == list(range(len(found)))
    for block in blocks:
        for span in (found[i] for i in block.spans):
            assert span.kind is block.kind
            assert block.address <= span.address
            assert span.end <= block.address + block.count


@given(spans(), st.integers(4, 125), st.integers(0, 30))
def test_no_request_is_over_the_limit_or_reads_over_more_than_the_gap(found: list[Span], most: int, gap: int) -> None:
    for block in plan(found, registers_max=most, gap_max=gap):
        assert 1 <= block.count <= limit(block, most)
        wanted = {a for i in block.spans for a in range(found[i].address, found[i].end)}
        unwanted_in_a_row = 0
        for address in range(block.address, block.address + block.count):
            unwanted_in_a_row = 0 if address in wanted else unwanted_in_a_row + 1
            assert unwanted_in_a_row <= gap
        assert block.address in wanted
        assert block.address + block.count - 1 in wanted


@given(spans(), st.integers(4, 125), st.integers(0, 30))
def test_neighbouring_requests_could_not_have_been_one(found: list[Span], most: int, gap: int) -> None:
    blocks = plan(found, registers_max=most, gap_max=gap)
    for one, next_one in itertools.pairwise(blocks):
        first = found[next_one.spans[0]]
        apart = first.address - (one.address + one.count) > gap
        too_long = max(first.end, one.address + one.count) - one.address > limit(one, most)
        assert one.kind is not next_one.kind or apart or too_long


@given(spans(), st.randoms())
def test_the_order_of_the_tags_does_not_matter(found: list[Span], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis hands in a Random
    shape = [(b.kind, b.address, b.count) for b in plan(found, registers_max=125, gap_max=2)]
    assert [(b.kind, b.address, b.count) for b in plan(shuffled, registers_max=125, gap_max=2)] == shape


def test_fifty_registers_in_a_row_are_one_request() -> None:
    found = [Span(RegisterKind.HOLDING, address, 1) for address in range(100, 150)]
    assert plan(found, registers_max=125, gap_max=0) == (Block(RegisterKind.HOLDING, 100, 50, tuple(range(50))),)


def test_a_hole_is_read_over_only_up_to_the_gap() -> None:
    found = [Span(RegisterKind.INPUT, 0, 1), Span(RegisterKind.INPUT, 4, 1)]
    assert [b.count for b in plan(found, registers_max=125, gap_max=3)] == [5]
    assert [b.count for b in plan(found, registers_max=125, gap_max=2)] == [1, 1]


def test_coils_come_in_requests_of_up_to_2000() -> None:
    found = [Span(RegisterKind.COIL, address, 1) for address in range(2001)]
    assert [b.count for b in plan(found, registers_max=125, gap_max=0)] == [2000, 1]


def test_a_value_wider_than_a_request_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        plan([Span(RegisterKind.HOLDING, 0, 4)], registers_max=2, gap_max=0)
