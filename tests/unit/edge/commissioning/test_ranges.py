"""The search for readable addresses: sound, complete for islands of some length, and short."""

from collections.abc import Iterable
from math import ceil, log2

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_edge.commissioning.ranges import Ask, Range, Search, readable_ranges

WINDOW = 600


def searched(search: Search, readable: Iterable[int]) -> tuple[tuple[Range, ...], list[Ask]]:
    """What a device with these addresses shows, and what it was asked."""
    held, asked = set(readable), []
    answer: bool | None = None
    try:
        while True:
            ask = search.send(answer) if answer is not None else next(search)
            asked.append(ask)
            answer = all(address in held for address in range(ask.address, ask.address + ask.count))
    except StopIteration as end:
        return end.value, asked


def islands() -> st.SearchStrategy[list[Range]]:
    """Readable islands with holes between them."""
    lengths = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 80)), max_size=6)

    def placed(pairs: list[tuple[int, int]]) -> list[Range]:
        at, made = 0, []
        for hole, length in pairs:
            at += hole
            made.append(Range(at, at + length - 1))
            at += length
        return [one for one in made if one.last < WINDOW]

    return lengths.map(placed)


def addresses(ranges: Iterable[Range]) -> set[int]:
    return {address for one in ranges for address in range(one.first, one.last + 1)}


@given(islands(), st.integers(1, 125), st.integers(1, 40))
@settings(deadline=None)
def test_what_is_found_is_readable_and_goes_to_its_ends(real: list[Range], count_max: int, stride_max: int) -> None:
    found, _ = searched(readable_ranges(0, WINDOW - 1, count_max=count_max, stride_max=stride_max), addresses(real))
    assert set(found) <= set(real) or count_max < stride_max  # a short read cannot look back over a long stride
    assert addresses(found) <= addresses(real)


@given(islands(), st.integers(40, 125), st.integers(1, 40))
@settings(deadline=None)
def test_no_island_as_long_as_the_longest_stride_is_missed(real: list[Range], count_max: int, stride_max: int) -> None:
    found, _ = searched(readable_ranges(0, WINDOW - 1, count_max=count_max, stride_max=stride_max), addresses(real))
    assert {one for one in real if one.count >= stride_max} <= set(found)


@given(islands(), st.integers(40, 125), st.integers(1, 40))
@settings(deadline=None)
def test_reads_stay_in_the_window_and_are_few(real: list[Range], count_max: int, stride_max: int) -> None:
    found, asked = searched(readable_ranges(0, WINDOW - 1, count_max=count_max, stride_max=stride_max), addresses(real))
    assert all(one.address >= 0 and one.address + one.count <= WINDOW and one.count <= count_max for one in asked)
    per_island = 4 * ceil(log2(count_max) + 1) + ceil(log2(stride_max) + 1)
    dense = sum(one.count for one in found) / count_max
    assert len(asked) <= WINDOW / stride_max + dense + (len(found) + 1) * per_island


def test_a_device_without_anything_costs_one_read_for_each_stride() -> None:
    found, asked = searched(readable_ranges(0, 999, count_max=125, stride_max=32), ())
    assert found == ()
    assert len(asked) < 1000 / 32 + 8


def test_a_full_table_costs_one_read_for_each_chunk() -> None:
    found, asked = searched(readable_ranges(0, 999, count_max=125, stride_max=32), range(1000))
    assert found == (Range(0, 999),)
    assert len(asked) <= 1000 / 125 + 2


def test_a_device_that_never_splits_a_pair_is_searched_in_pairs() -> None:
    held = {*range(10, 20), *range(40, 44)}
    search = readable_ranges(0, 63, count_max=124, stride_max=4, width=2)
    found, asked = searched(search, held)
    assert found == (Range(10, 19), Range(40, 43))
    assert all(ask.count % 2 == 0 and ask.address % 2 == 0 for ask in asked)


def test_a_range_is_shown_as_people_write_it() -> None:
    assert [str(Range(3, 3)), str(Range(3, 9))] == ["3", "3-9"]
