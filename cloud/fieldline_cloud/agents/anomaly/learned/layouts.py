"""Frames that look like an earlier one of their device: what was found out about that one holds for them. Pure.

A gateway polls the same registers again and again. So which series of a frame are learned, and which say something of
the device's rest, is found out once; a frame that looks the same then costs some calls, not some for each tag.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from fieldline.model import Value
from fieldline.wire.readings import Series
from fieldline_cloud.agents.anomaly.learned.columns import Pending
from fieldline_cloud.agents.anomaly.learned.rest import Role

__all__ = ["SKIPPED", "UNSURE", "Columns", "Layout", "Layouts"]

Columns = tuple[tuple[Sequence[int], ...], tuple[Sequence[Value], ...]]
"""The moments of each series of a frame, and the values."""

SKIPPED: Final = -1
"""In place of a row: series of this tag and type are never learned."""
UNSURE: Final = -2
"""In place of a row: the next series of this tag may fare otherwise."""
_LAYOUTS_MAX: Final = 8
_FIRST: Final = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Layout:
    """`types` of the first values, `roles` by place, and of the series that are learned their places and rows."""

    types: tuple[type, ...]
    roles: tuple[tuple[Role, int], ...]
    places: tuple[int, ...]
    rows: tuple[int, ...]

    def add_to(self, pending: Pending, columns: Columns) -> int | None:
        """What is learned of a frame; the last moment of that, None if it is nothing."""
        at_ns, values = columns
        if not self.places:
            return None
        if len(self.places) == len(at_ns):
            pending.extend(self.rows, at_ns, values)
        else:
            pending.extend(self.rows, [at_ns[place] for place in self.places], [values[place] for place in self.places])
        return at_ns[self.places[-1]][-1]


class Layouts:
    """The layouts of one device, by the tags of a frame."""

    __slots__ = ("_layouts",)

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, ...], Layout] = {}

    def find(self, frame: Sequence[Series]) -> tuple[Layout, Columns] | None:
        """The layout of a frame, and its columns; None where it has to be looked at series by series."""
        if not self._layouts or not frame:
            return None
        tags, at_ns, values, qualities = zip(*frame, strict=True)
        layout = self._layouts.get(tags)
        if layout is None or qualities.count(None) < len(qualities) or not all(values):
            return None
        return (layout, (at_ns, values)) if tuple(map(type, map(_FIRST, values))) == layout.types else None

    def note(self, frame: Sequence[Series], said: Sequence[tuple[Role, Series]], rows: Sequence[int]) -> None:
        """What became of each series of a frame: its row, SKIPPED or UNSURE; `said` is what has a role in it."""
        if not rows or min(rows) == UNSURE:
            return
        if any(series.qualities is not None or not series.values or series.values[0] is None for series in frame):
            return
        learned = [place for place, row in enumerate(rows) if row != SKIPPED]
        places = {id(series): place for place, series in enumerate(frame)}
        if len(self._layouts) >= _LAYOUTS_MAX:
            self._layouts.clear()
        self._layouts[tuple(series.tag for series in frame)] = Layout(
            tuple(type(series.values[0]) for series in frame),
            tuple((role, places[id(series)]) for role, series in said),
            tuple(learned),
            tuple(rows[place] for place in learned),
        )

    def clear(self) -> None:
        """All has to be found out anew."""
        self._layouts.clear()
