"""The newest frames in memory answer as the disk would."""

from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.spool.policy import Stored
from fieldline_edge.spool.recent import Recent


def stored(id_: int, size: int = 10) -> Stored:
    return Stored(id_, id_ - 1, b"x" * size)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 30)), max_size=30), st.integers(10, 200))
def test_what_it_answers_is_what_was_committed(steps: list[tuple[int, int, int]], bytes_max: int) -> None:
    recent = Recent(bytes_max)
    committed: list[Stored] = []
    last = 0
    for gap, count, back in steps:
        run = [Stored(last + gap + 1, last, b"x" * 10, gap)]
        run += [stored(last + gap + 1 + more) for more in range(1, count)]
        committed += run
        recent.add(run)
        last = run[-1].sequence

        after = max(0, last - back)
        found = recent.after(after, frames_max=3, bytes_max=25)

        if found is not None:
            expected = [one for one in committed if one.sequence > after]
            assert [one.sequence for one in found] == [one.sequence for one in expected][: len(found)]
            assert not expected or (found[0].before == after and 1 <= len(found) <= 3)


def test_who_has_everything_is_not_sent_to_the_disk() -> None:
    recent = Recent(1000)
    recent.add([stored(1), stored(2)])

    assert recent.after(2, frames_max=10, bytes_max=100) == []


def test_it_is_bounded() -> None:
    recent = Recent(100)
    recent.add([stored(id_) for id_ in range(1, 1001)])

    assert recent.after(0, frames_max=10, bytes_max=100) is None
    found = recent.after(995, frames_max=10, bytes_max=100)
    assert found is not None
    assert [one.sequence for one in found] == [996, 997, 998, 999, 1000]


def test_what_is_no_longer_on_the_disk_is_not_handed_out() -> None:
    recent = Recent(1000)
    recent.add([stored(1), stored(2), stored(3)])

    recent.clear_up_to(2)

    assert recent.after(2, frames_max=10, bytes_max=100) is None


def test_at_least_one_frame_is_handed_out_however_large() -> None:
    recent = Recent(1000)
    recent.add([stored(1, 500)])

    found = recent.after(0, frames_max=1, bytes_max=1)

    assert found is not None
    assert len(found) == 1
