import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.modbus.plan import Block, Limits, Range, Span, gaps, plan, read_over
from fieldline_edge.drivers.modbus.settings import RegisterKind

KINDS = list(RegisterKind)


def span(kind: RegisterKind, address: int, width: int) -> Span:
    width = 1 if kind.is_bits else width
    return Span(kind, min(address, 65_536 - width), width)


def spans() -> st.SearchStrategy[list[Span]]:
    """Values of all kinds, in clusters and far apart, overlapping or not."""
    addresses = st.one_of(st.integers(0, 80), st.integers(0, 65_535))
    return st.lists(st.builds(span, st.sampled_from(KINDS), addresses, st.sampled_from([1, 2, 4])), max_size=40)


def limit(block: Block, registers_max: int) -> int:
    return registers_max * 16 if block.kind.is_bits else registers_max


@given(spans(), st.integers(4, 125), st.integers(0, 30))
def test_every_value_is_read_exactly_once_and_whole(found: list[Span], most: int, gap: int) -> None:
    blocks = plan(found, Limits(most, most * 16, gap))
    assert sorted(i for block in blocks for i in block.spans) == list(range(len(found)))
    for block in blocks:
        for span in (found[i] for i in block.spans):
            assert span.kind is block.kind
            assert block.address <= span.address
            assert span.end <= block.address + block.count


@given(spans(), st.integers(4, 125), st.integers(0, 30))
def test_no_request_is_over_the_limit_or_reads_over_more_than_the_gap(found: list[Span], most: int, gap: int) -> None:
    for block in plan(found, Limits(most, most * 16, gap)):
        assert 1 <= block.count <= limit(block, most)
        wanted = {a for i in block.spans for a in range(found[i].address, found[i].end)}
        unwanted_in_a_row = 0
        for address in range(block.address, block.address + block.count):
            unwanted_in_a_row = 0 if address in wanted else unwanted_in_a_row + 1
            assert unwanted_in_a_row <= Limits(gap_max=gap).gap(block.kind)
        assert block.address in wanted
        assert block.address + block.count - 1 in wanted


@given(spans(), st.integers(4, 125), st.integers(0, 30))
def test_neighbouring_requests_could_not_have_been_one(found: list[Span], most: int, gap: int) -> None:
    blocks = plan(found, Limits(most, most * 16, gap))
    for one, next_one in itertools.pairwise(blocks):
        first = found[next_one.spans[0]]
        apart = first.address - (one.address + one.count) > Limits(gap_max=gap).gap(one.kind)
        too_long = max(first.end, one.address + one.count) - one.address > limit(one, most)
        assert one.kind is not next_one.kind or apart or too_long


@given(spans(), st.randoms())
def test_the_order_of_the_tags_does_not_matter(found: list[Span], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis hands in a Random
    shape = [(b.kind, b.address, b.count) for b in plan(found, Limits(125, 125 * 16, 2))]
    assert [(b.kind, b.address, b.count) for b in plan(shuffled, Limits(125, 125 * 16, 2))] == shape


def test_fifty_registers_in_a_row_are_one_request() -> None:
    found = [Span(RegisterKind.HOLDING, address, 1) for address in range(100, 150)]
    assert plan(found, Limits(125, 125 * 16, 0)) == (Block(RegisterKind.HOLDING, 100, 50, tuple(range(50))),)


def test_a_hole_is_read_over_only_up_to_the_gap() -> None:
    found = [Span(RegisterKind.INPUT, 0, 1), Span(RegisterKind.INPUT, 4, 1)]
    assert [b.count for b in plan(found, Limits(125, 125 * 16, 3))] == [5]
    assert [b.count for b in plan(found, Limits(125, 125 * 16, 2))] == [1, 1]


def test_coils_come_in_requests_of_up_to_2000() -> None:
    found = [Span(RegisterKind.COIL, address, 1) for address in range(2001)]
    assert [b.count for b in plan(found, Limits(125, 125 * 16, 0))] == [2000, 1]


def test_a_value_wider_than_a_request_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        plan([Span(RegisterKind.HOLDING, 0, 4)], Limits(2))


@st.composite
def small_cases(draw: st.DrawFn) -> tuple[list[Span], Limits, list[Range]]:
    """Few values close together, tight limits, ranges that must not be held."""
    found = [
        Span(RegisterKind.HOLDING, draw(st.integers(0, 14)), draw(st.sampled_from([1, 2, 3])), draw(st.booleans()))
        for _ in range(draw(st.integers(1, 6)))
    ]
    refused = [
        Range("holding", start, start + draw(st.integers(1, 5)))
        for start in draw(st.lists(st.integers(0, 16), max_size=3))
    ]
    return found, Limits(draw(st.integers(3, 12)), gap_max=draw(st.integers(0, 4))), refused


def may_share(members: list[Span], found: list[Span], limits: Limits, refused: list[Range]) -> bool:
    """Whether one request may read these values: the rules, written down once more and independently."""
    if len({(span.address, span.width) for span in members}) == 1:
        return True
    start, end = min(span.address for span in members), max(span.end for span in members)
    wanted = {address for span in members for address in range(span.address, span.end)}
    gap = "".join("x" if address in wanted else "." for address in range(start, end))
    return (
        not any(span.alone and span.address < end and span.end > start for span in found)
        and end - start <= limits.registers_max
        and "." * (limits.gap_max + 1) not in gap
        and not any(start <= each.start and each.end <= end for each in refused)
    )


def partitions(items: list[Span]) -> Iterator[list[list[Span]]]:
    if not items:
        yield []
        return
    for rest in partitions(items[1:]):
        yield [[items[0]], *rest]
        for index, part in enumerate(rest):
            yield [*rest[:index], [items[0], *part], *rest[index + 1 :]]


@given(small_cases())
def test_no_other_way_needs_fewer_requests(case: tuple[list[Span], Limits, list[Range]]) -> None:
    found, limits, refused = case
    blocks = plan(found, limits, refused)
    fewest = min(
        len(parts) for parts in partitions(found) if all(may_share(part, found, limits, refused) for part in parts)
    )
    assert len(blocks) == fewest
    assert all(may_share([found[i] for i in block.spans], found, limits, refused) for block in blocks)


def test_a_hole_is_never_read_across() -> None:
    found = [Span(RegisterKind.HOLDING, address, 1) for address in (98, 99, 121, 122)]
    limits = Limits(gap_max=50)
    assert [b.count for b in plan(found, limits)] == [25]
    assert [b.count for b in plan(found, limits, [Range("holding", 100, 121)])] == [2, 2]
    assert [b.count for b in plan(found, limits, [Range("input", 100, 121)])] == [25], "another table"


def test_a_value_that_is_refused_has_a_request_of_its_own_and_so_do_its_bits_together() -> None:
    found = [Span(RegisterKind.HOLDING, address, 1) for address in (1, 2, 2, 2, 3)]
    blocks = plan(found, Limits(), [Range("holding", 2, 3)])
    assert [(b.address, b.spans) for b in blocks] == [(1, (0,)), (2, (1, 2, 3)), (3, (4,))]


def test_a_register_to_be_read_alone_shares_no_request() -> None:
    found = [
        Span(RegisterKind.HOLDING, 1, 1),
        Span(RegisterKind.HOLDING, 2, 1, alone=True),
        Span(RegisterKind.HOLDING, 3, 1),
    ]
    assert [b.count for b in plan(found, Limits(gap_max=5))] == [1, 1, 1]


def test_bits_have_a_limit_of_their_own_and_a_gap_16_times_as_long() -> None:
    found = [Span(RegisterKind.COIL, address, 1) for address in (0, 17, 33, 34)]
    assert [b.count for b in plan(found, Limits(bits_max=20, gap_max=1))] == [18, 2]


def test_what_is_read_over_is_counted() -> None:
    found = [Span(RegisterKind.HOLDING, 0, 2), Span(RegisterKind.HOLDING, 5, 1), Span(RegisterKind.HOLDING, 1, 1)]
    assert read_over(found, plan(found, Limits(gap_max=3))) == 3


def test_ten_thousand_values_are_planned_at_once() -> None:
    found = [Span(RegisterKind.HOLDING, address * 5, 1) for address in range(10_000)]
    refused = [Range("holding", address * 50 + 1, address * 50 + 3) for address in range(1000)]
    assert len(plan(found, Limits(gap_max=4), refused)) == 1001


def test_gaps_are_found_with_the_values_beside_them() -> None:
    values = [Range("holding", start, end) for start, end in ((0, 4), (1, 2), (6, 7), (7, 8), (10, 12))]
    assert gaps(values) == [Range("holding", 0, 7), Range("holding", 7, 12)]
