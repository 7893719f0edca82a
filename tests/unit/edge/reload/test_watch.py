"""When a file counts as changed."""

from fieldline_edge.reload.watch import FileWatch

OLD, HALF, NEW = (1, 10, 7), (2, 4, 7), (3, 12, 8)


def test_a_file_that_stays_is_never_told_of() -> None:
    watch = FileWatch(OLD)

    assert [watch.look(OLD) for _ in range(3)] == [False, False, False]


def test_a_change_is_told_once_and_only_when_it_is_at_rest() -> None:
    watch = FileWatch(OLD)

    assert [watch.look(stamp) for stamp in (HALF, NEW, NEW, NEW)] == [False, False, True, False]


def test_a_file_that_is_away_for_a_moment_is_no_change() -> None:
    watch = FileWatch(OLD)

    assert [watch.look(stamp) for stamp in (None, None, OLD, OLD)] == [False, False, False, False]


def test_a_file_that_was_missing_at_first_is_told_of_when_it_is_there() -> None:
    watch = FileWatch(None)

    assert [watch.look(stamp) for stamp in (NEW, NEW)] == [False, True]
