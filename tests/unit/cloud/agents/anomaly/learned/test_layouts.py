"""Frames that look like an earlier one are taken as they would be series by series."""

from dataclasses import asdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.model import Quality, Value
from fieldline.wire.readings import Series
from fieldline_cloud.agents.anomaly.learned.columns import Pending
from fieldline_cloud.agents.anomaly.learned.layouts import SKIPPED, UNSURE, Layouts
from fieldline_cloud.agents.anomaly.learned.rest import Role
from tests.unit.cloud.agents.anomaly.learned.standins import Bench
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

_VALUES: st.SearchStrategy[list[Value]] = st.sampled_from(
    [[1.5], [2.5, 3.5], [3], [True], [False, True], ["text"], [None], [None, 2.0], [0.0], [60.0, None]]
)
_SERIES = st.tuples(
    st.sampled_from(["a", "b", "running", "speed", "mode"]), _VALUES, st.sampled_from([None, None, None, Quality.BAD])
)
_FRAMES = st.lists(st.lists(_SERIES, max_size=4), min_size=1, max_size=30)


def frame(second: int, parts: list[tuple[str, list[Value], Quality | None]]) -> list[Series]:
    return [
        Series(
            tag,
            [T0 + second * SECOND + n for n in range(len(values))],
            values,
            None if quality is None else [quality] * len(values),
        )
        for tag, values, quality in parts
    ]


@settings(max_examples=60, deadline=None)
@given(frames=_FRAMES, relearn_at=st.integers(0, 30))
def test_nothing_is_taken_otherwise_than_series_by_series(
    frames: list[list[tuple[str, list[Value], Quality | None]]], relearn_at: int
) -> None:
    with_layouts, without = Bench(), Bench()
    for second, parts in enumerate(frames + frames):
        for bench in (with_layouts, without):
            if bench is without and bench.layer.knows(PUMP):
                bench.layer._devices[PUMP].layouts.clear()
            bench.layer.take(PUMP, frame(second, parts))
            if second == relearn_at:
                bench.layer.relearn(PUMP)
    one, other = with_layouts.layer._pending.take(), without.layer._pending.take()
    np.testing.assert_equal(
        [one.rows, one.at_ns, one.values], [other.rows, other.at_ns, other.values], err_msg="what is pending"
    )
    assert asdict(with_layouts.layer.stats) == asdict(without.layer.stats)
    assert with_layouts.layer.snapshot(PUMP) == without.layer.snapshot(PUMP)


def test_a_frame_is_known_again_by_its_tags_and_types() -> None:
    layouts = Layouts()
    first = frame(1, [("speed", [5.0], None), ("running", [True], None), ("flow", [2.0, 3.0], None)])
    layouts.note(first, [(Role.EFFORT, first[0]), (Role.RUNNING, first[1])], [7, SKIPPED, 3])

    found = layouts.find(frame(2, [("speed", [6.0], None), ("running", [False], None), ("flow", [9.0], None)]))

    assert found is not None
    layout, columns = found
    assert layout.roles == ((Role.EFFORT, 0), (Role.RUNNING, 1))
    pending = Pending()
    assert layout.add_to(pending, columns) == T0 + 2 * SECOND
    raw = pending.take()
    assert (raw.rows.tolist(), raw.values.tolist()) == ([3, 7], [9.0, 6.0])
    assert layouts.find(frame(3, [("speed", [6.0], None), ("running", [0], None), ("flow", [9.0], None)])) is None
    assert layouts.find(frame(3, [("speed", [6.0], None)])) is None


def test_what_may_fare_otherwise_next_time_makes_no_layout() -> None:
    layouts = Layouts()
    for rows, parts in [
        ([0, UNSURE], [("a", [1.0], None), ("b", [1.0], None)]),
        ([0, 1], [("a", [1.0], None), ("b", [1.0], Quality.BAD)]),
        ([0, SKIPPED], [("a", [1.0], None), ("b", [None], None)]),
    ]:
        taken: list[Series] = frame(1, parts)  # type: ignore[arg-type]  # lists of one kind of value each
        layouts.note(taken, [], rows)
        assert layouts.find(taken) is None


def test_so_many_kinds_of_frames_as_come_are_not_all_remembered() -> None:
    layouts = Layouts()
    frames = [frame(1, [(f"tag-{number}", [1.0], None)]) for number in range(50)]
    for number, each in enumerate(frames):
        layouts.note(each, [], [number])
    assert 1 <= sum(layouts.find(each) is not None for each in frames) <= 8
