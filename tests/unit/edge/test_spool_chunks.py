"""How frames lie together in rows, and how a row is thinned out."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.v1 import hub_pb2
from fieldline_edge.spool.chunks import Chunk, Part, pack, parts, split, thin


def frame(topic: str, count: int = 3) -> bytes:
    return hub_pb2.Frame(topic=topic, count=count, body=b"x" * 20).SerializeToString()


def chunk_of(frames: list[bytes], first: int = 1) -> Chunk:
    found = [Part(id_, one) for id_, one in enumerate(frames, first)]
    readings = sum(hub_pb2.Frame.FromString(one).count for one in frames)
    return Chunk(found[-1].id, len(found), 1, readings, len(found), 0, pack(found))


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 10**6), st.binary(max_size=200)), min_size=1), st.integers(1)
)
def test_what_was_packed_comes_back(frames: list[tuple[int, int, bytes]], first: int) -> None:
    found, id_ = [], first
    for skipped, missing, one in frames:
        found.append(Part(id_ + skipped, one, skipped, missing))
        id_ += skipped + 1

    again = list(parts(pack(found), found[-1].id, found[-1].id - first + 1))

    assert again == found


def test_a_row_of_version_1_is_one_frame() -> None:
    assert list(parts(b"frame", 7, 0)) == [Part(7, b"frame")]


def test_a_cut_row_is_refused() -> None:
    blob = pack([Part(1, b"x" * 300)])

    with pytest.raises(ValueError, match="beyond its chunk"):
        list(parts(blob[:-1], 1, 1))
    with pytest.raises(ValueError, match="inside a number"):
        list(parts(blob[:3], 1, 1))


@given(st.lists(st.integers(0, 100)), st.integers(1, 200))
def test_runs_cover_everything_and_stay_below_the_bound(sizes: list[int], bytes_max: int) -> None:
    runs = list(split(sizes, bytes_max))

    assert [index for begin, end in runs for index in range(begin, end)] == list(range(len(sizes)))
    assert all(sum(sizes[begin:end]) <= bytes_max or end == begin + 1 for begin, end in runs)


def test_of_each_topic_every_second_frame_is_kept() -> None:
    chunk = chunk_of([frame("a"), frame("b"), frame("a"), frame("b"), frame("a"), frame("b")])

    thinned = thin(chunk, {}, 2)

    assert thinned.left is not None
    kept = list(parts(thinned.left.blob, thinned.left.last, thinned.left.span))
    topics = [hub_pb2.Frame.FromString(part.frame).topic for part in kept]
    assert topics == ["a", "b", "a", "b"], "devices take turns: none of them may vanish"
    assert [part.id for part in kept] == [1, 2, 5, 6]
    assert [(part.skipped, part.missing) for part in kept] == [(0, 0), (0, 0), (2, 6), (0, 0)]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), min_size=1, max_size=30),
    st.lists(st.integers(2, 4), min_size=1, max_size=4),
    st.integers(1, 100),
)
def test_thinning_again_and_again_loses_no_count(frames: list[tuple[str, int]], passes: list[int], first: int) -> None:
    chunk = chunk_of([frame(topic, count) for topic, count in frames], first)
    whole = chunk.readings
    gone_frames = gone_readings = behind = 0

    left: Chunk | None = chunk
    for keep_every in passes:
        if left is None:
            break
        before = left
        thinned = thin(left, {}, keep_every)
        gone_frames += thinned.frames
        gone_readings += thinned.readings
        left = thinned.left
        if left is not None:
            behind += before.readings + before.missing - left.readings - left.missing

    if left is None:
        assert (gone_frames, gone_readings) == (len(frames), whole)
        return
    kept = list(parts(left.blob, left.last, left.span))
    assert len(kept) == left.frames == len(frames) - gone_frames
    assert left.readings + gone_readings == whole
    assert left.readings + left.missing + behind == whole
    assert left.first == first
    assert kept[0].id - kept[0].skipped == first
    assert all(part.id - part.skipped - 1 == before.id for before, part in pairwise(kept))
