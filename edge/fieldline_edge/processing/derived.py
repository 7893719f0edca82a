"""Derived tags of one device: in which order they are computed, and what they come to. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fieldline.model import Quality, Reading
from fieldline_edge.processing.expressions.compiler import Fault, Formula, Reason, Scope, compile_expression
from fieldline_edge.processing.expressions.memory import Memory
from fieldline_edge.processing.expressions.parser import Expression

__all__ = ["Derived", "DerivedProblem", "DerivedTag", "order_of"]


_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class DerivedTag:
    """A tag that is computed: its name, its formula, and the range outside which the quality is BAD_RANGE."""

    name: str
    expression: Expression
    minimum: float | None = None
    maximum: float | None = None


class DerivedProblem(ValueError):
    """Derived tag number `index` cannot be computed; the message says why and what would be right."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def order_of(read: Collection[str], derived: Sequence[tuple[str, Expression]]) -> list[int]:
    """Indexes of `derived` so that each comes after those it needs; `read` are the tags that the device brings.

    DerivedProblem for a formula without a tag, a tag that does not exist, and for a circle.
    """
    places = {name: index for index, (name, _) in enumerate(derived)}
    for index, (_, expression) in enumerate(derived):
        if not expression.tags:
            raise DerivedProblem(index, "names no tag, so there is no moment to compute it; use at least one tag")
        for name, at in expression.tags.items():
            if name not in places and name not in read:
                raise DerivedProblem(index, _unknown(name, at, [*read, *places]))
    ordered: list[int] = []
    done: set[int] = set()
    for index in range(len(derived)):
        _visit(index, derived, places, done, ordered)
    return ordered


def _visit(
    start: int,
    derived: Sequence[tuple[str, Expression]],
    places: Mapping[str, int],
    done: set[int],
    ordered: list[int],
) -> None:
    """Append `start` after everything it needs; a loop and no recursion, because a chain may be long."""
    path: dict[int, list[int]] = {}  # being visited, in order, each with what it still waits for
    waiting = [start]
    while waiting:
        index = waiting.pop()
        if index in done:
            continue
        if index not in path:
            path[index] = [places[name] for name in derived[index][1].tags if name in places]
        while path[index] and path[index][-1] in done:
            path[index].pop()
        if path[index]:
            needed = path[index][-1]
            if needed in path:
                raise _circle([*path][[*path].index(needed) :], derived)
            waiting += (index, needed)
            continue
        del path[index]
        done.add(index)
        ordered.append(index)


def _circle(indexes: list[int], derived: Sequence[tuple[str, Expression]]) -> DerivedProblem:
    names = [derived[index][0] for index in (*indexes, indexes[0])]
    return DerivedProblem(indexes[0], f"goes round in a circle: {' needs '.join(names)}; compute one without the other")


def _unknown(name: str, at: int, known: Sequence[str]) -> str:
    from difflib import get_close_matches  # for mistakes alone: memory that a gateway needs not hold

    near = get_close_matches(name, known, n=1)
    if not near and any(part in known for part in name.split(".")):
        near = [part for part in name.split(".") if part in known]
    cure = f"did you mean {_written(near[0])}?" if near else f"the device has {', '.join(sorted(known)[:8]) or 'none'}"
    return f"character {at} ({name!r}) is no tag of this device; {cure}"


def _written(name: str) -> str:
    """A name as a formula has it: in backticks where it is no plain word."""
    return f"'{name}'" if _WORD.fullmatch(name) else f"`{name}` (in backticks)"


@dataclass(slots=True)
class _Part:
    """One derived tag at work. `inputs` are the indexes of the tags it names."""

    tag: DerivedTag
    index: int
    formula: Formula
    inputs: tuple[int, ...]


class Derived:
    """Computes the derived tags of a device, each as soon as one of its tags has a new reading.

    All readings handed over at once are one look at the device: a tag that stands in them twice begins the next look.
    The time is that of the newest reading that made it be computed. As long as a tag it needs has never been read,
    there is no reading. Without an answer the reading has no value, and the quality of the bad input, or
    BAD_CALCULATION; `failures` counts by reason.
    """

    def __init__(self, read: Collection[str], derived: Sequence[DerivedTag]) -> None:
        self._indexes: dict[str, int] = {}
        for tag in derived:
            for name in (*tag.expression.tags, tag.name):
                self._indexes.setdefault(name, len(self._indexes))
        self._scope = Scope([None] * len(self._indexes))
        self.failures: dict[Reason, int] = dict.fromkeys(Reason, 0)
        self._parts: list[_Part] = []
        for index in order_of(read, [(tag.name, tag.expression) for tag in derived]):
            tag = derived[index]
            formula = compile_expression(tag.expression, self._indexes)
            inputs = tuple(self._indexes[name] for name in tag.expression.tags)
            self._parts.append(_Part(tag, self._indexes[tag.name], formula, inputs))
        self._memories: dict[int, list[Memory]] = {}
        for part in self._parts:
            for index, memories in part.formula.memories.items():
                self._memories.setdefault(index, []).extend(memories)

    def extend(self, readings: Iterable[Reading]) -> list[Reading]:
        """The readings, each look at the device followed by what is derived from it."""
        out: list[Reading] = []
        new: set[int] = set()
        for reading in readings:
            index = self._indexes.get(reading.tag)
            if index is not None:
                if index in new:
                    self._compute(new, out)
                    new.clear()
                self._see(index, reading)
                new.add(index)
            out.append(reading)
        if new:
            self._compute(new, out)
        return out

    def _see(self, index: int, reading: Reading) -> None:
        self._scope.readings[index] = reading
        if index in self._memories:
            for memory in self._memories[index]:
                memory.see(reading)

    def _compute(self, new: set[int], out: list[Reading]) -> None:
        readings = self._scope.readings
        for part in self._parts:
            at_ns = None
            for index in part.inputs:
                if index in new and (one := readings[index]) is not None and (at_ns is None or one.at_ns > at_ns):
                    at_ns = one.at_ns
            if at_ns is None:
                continue  # none of its tags is new
            reading = self._reading(part, at_ns)
            if reading is not None:
                self._see(part.index, reading)
                new.add(part.index)
                out.append(reading)

    def _reading(self, part: _Part, at_ns: int) -> Reading | None:
        tag = part.tag
        try:
            value, quality = part.formula.evaluate(self._scope)
        except Fault as fault:
            self.failures[fault.reason] += 1
            return None if fault.reason is Reason.NOT_YET else Reading(tag.name, at_ns, None, fault.quality)
        if type(value) is float or type(value) is int:
            too_low = tag.minimum is not None and value < tag.minimum
            if too_low or (tag.maximum is not None and value > tag.maximum):
                self.failures[Reason.RANGE] += 1
                return Reading(tag.name, at_ns, value, Quality.BAD_RANGE)
        return Reading(tag.name, at_ns, value, quality)
