"""From the tree of a formula to functions that call each other, made once and run for every poll. Pure."""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from fieldline.model import Quality, Reading, Value
from fieldline_edge.processing.expressions.functions import FUNCTIONS, Kind
from fieldline_edge.processing.expressions.memory import Delta, Integral, Memory, Rate
from fieldline_edge.processing.expressions.parser import Expression
from fieldline_edge.processing.expressions.tree import Binary, Call, Choice, Literal, Node, Tag, Unary

__all__ = ["Fault", "Formula", "Reason", "Scope", "compile_expression"]

_INT_BITS_MAX: Final = 128
"""Ints within a formula; a reading carries 64."""
_INT64_MAX: Final = (1 << 63) - 1
_INT64_MIN: Final = -(1 << 63)


class Reason(Enum):
    """Why a formula has no value."""

    NOT_YET = "not_yet"  # a tag it needs has not been read yet, or not often enough
    INPUT = "input"  # a tag it needs is bad
    DIVISION_BY_ZERO = "division_by_zero"
    TOO_LARGE = "too_large"
    DOMAIN = "domain"  # like the root of a negative number
    TYPE = "type"  # like a text times a number
    RANGE = "range"  # outside min and max of the derived tag


class Fault(Exception):
    """A formula has no value now."""

    def __init__(self, reason: Reason, quality: Quality = Quality.BAD_CALCULATION) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.quality = quality


@dataclass(slots=True)
class Scope:
    """What formulas of one device see: the last reading of each tag, and the worst quality used since it was reset."""

    readings: list[Reading | None]
    quality: Quality = Quality.GOOD


Run = Callable[[Scope], Any]
_ERRORS: Final = (Fault, ArithmeticError, ValueError, TypeError)


@dataclass(slots=True)
class Formula:
    """A formula ready to run. `memories` says what must see each reading of a tag before it is run, by its index."""

    run: Run
    memories: dict[int, list[Memory]] = field(default_factory=dict)

    def evaluate(self, scope: Scope) -> tuple[Value, Quality]:
        """(value, quality), where uncertain inputs make an uncertain value; Fault if there is none."""
        scope.quality = Quality.GOOD
        try:
            value = self.run(scope)
            if type(value) is int and not _INT64_MIN <= value <= _INT64_MAX:
                value = float(value)
            if type(value) is float and value - value != 0.0:
                raise Fault(Reason.TOO_LARGE)
        except _ERRORS as error:
            raise _as_fault(error) from None
        return value, scope.quality


def compile_expression(expression: Expression, indexes: Mapping[str, int]) -> Formula:
    """A function of the tree, and what it remembers. `indexes` gives the place of each tag in Scope.readings."""
    formula = Formula(lambda scope: None)
    formula.run = _compile(expression.root, indexes, formula)
    return formula


def _as_fault(error: Exception) -> Fault:
    if isinstance(error, Fault):
        return error
    if isinstance(error, ZeroDivisionError):
        return Fault(Reason.DIVISION_BY_ZERO)
    if isinstance(error, OverflowError):
        return Fault(Reason.TOO_LARGE)
    return Fault(Reason.TYPE if isinstance(error, TypeError) else Reason.DOMAIN)


def _compile(node: Node, indexes: Mapping[str, int], formula: Formula) -> Run:
    def sub(child: Node) -> Run:
        return _compile(child, indexes, formula)

    if isinstance(node, Literal):
        value = node.value
        return lambda scope: value
    if isinstance(node, Tag):
        return _tag(indexes[node.name])
    if isinstance(node, Unary):
        return _unary(node.operator, sub(node.operand))
    if isinstance(node, Binary):
        return _binary(node.operator, sub(node.left), sub(node.right))
    if isinstance(node, Choice):
        return _choice(sub(node.test), sub(node.then), sub(node.other))
    return _call(node, indexes, formula, sub)


def _tag(index: int) -> Run:
    good = Quality.GOOD

    def run(scope: Scope) -> Value:
        reading = scope.readings[index]
        if reading is None:
            raise Fault(Reason.NOT_YET)
        quality, value = reading.quality, reading.value
        if quality is not good and quality > scope.quality:
            if quality >= Quality.BAD:
                raise Fault(Reason.INPUT, quality)
            scope.quality = quality
        if value is None:
            raise Fault(Reason.INPUT, quality)
        return value

    return run


def _unary(sign: str, operand: Run) -> Run:
    if sign == "not":
        return lambda scope: not _truth(operand(scope))
    if sign == "-":
        return lambda scope: -operand(scope)
    return lambda scope: +operand(scope)


def _truth(value: Any) -> bool:
    if type(value) is str:
        raise Fault(Reason.TYPE)
    return bool(value)


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _power(base: float, exponent: float) -> float:
    """Exact for small ints, else as floats: a huge power is an OverflowError and not a long computation."""
    if type(base) is int and type(exponent) is int and 0 <= exponent * max(1, base.bit_length()) <= _INT_BITS_MAX:
        return int(base**exponent)
    return math.pow(base, exponent)


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": _power,
}


def _binary(sign: str, left: Run, right: Run) -> Run:
    if sign == "and":
        return lambda scope: _truth(left(scope)) and _truth(right(scope))
    if sign == "or":
        return lambda scope: _truth(left(scope)) or _truth(right(scope))
    if sign in _COMPARE:
        compare = _COMPARE[sign]
        return lambda scope: compare(left(scope), right(scope))
    compute = _ARITHMETIC[sign]

    def run(scope: Scope) -> Any:
        one, other = left(scope), right(scope)
        if type(one) is str or type(other) is str:  # Python would repeat or format a text
            raise Fault(Reason.TYPE)
        result = compute(one, other)
        if type(result) is int and result.bit_length() > _INT_BITS_MAX:
            raise Fault(Reason.TOO_LARGE)
        return result

    return run


def _choice(test: Run, then: Run, other: Run) -> Run:
    return lambda scope: then(scope) if _truth(test(scope)) else other(scope)


def _call(node: Call, indexes: Mapping[str, int], formula: Formula, sub: Callable[[Node], Run]) -> Run:
    function = FUNCTIONS[node.function]
    if function.kind is Kind.STATEFUL:
        return _remembering(node, indexes, formula)
    arguments = [sub(argument) for argument in node.arguments]
    if function.kind is Kind.LAZY:
        return _lazy(node.function, arguments)
    call = function.call
    assert call is not None, "a plain function can be called"

    def run(scope: Scope) -> Any:
        values = [argument(scope) for argument in arguments]
        for value in values:
            if type(value) is str:
                raise Fault(Reason.TYPE)
        return call(*values)

    return run


def _lazy(name: str, arguments: list[Run]) -> Run:
    if name == "if":
        return _choice(arguments[0], arguments[1], arguments[2])

    def attempt(scope: Scope) -> tuple[bool, Any]:
        before = scope.quality
        try:
            return True, arguments[0](scope)
        except _ERRORS:
            scope.quality = before  # what was tried in vain says nothing about the result
            return False, None

    if name == "ok":

        def ok(scope: Scope) -> bool:
            before = scope.quality
            found, _ = attempt(scope)
            scope.quality = before
            return found

        return ok

    def default(scope: Scope) -> Any:
        found, value = attempt(scope)
        return value if found else arguments[1](scope)

    return default


def _remembering(node: Call, indexes: Mapping[str, int], formula: Formula) -> Run:
    tag = node.arguments[0]
    assert isinstance(tag, Tag), "checked by the parser"
    wraps_at = _constant(node.arguments[1]) if len(node.arguments) > 1 else None
    memory: Memory
    if node.function == "integral":
        memory = Integral()
    elif node.function == "delta":
        memory = Delta(wraps_at)
    else:
        memory = Rate(wraps_at)
    index = indexes[tag.name]
    formula.memories.setdefault(index, []).append(memory)
    read = _tag(index)

    def run(scope: Scope) -> float:
        read(scope)  # the quality of the newest reading counts here too
        if memory.value is None:
            raise Fault(Reason.NOT_YET)
        return memory.value

    return run


def _constant(node: Node) -> float:
    assert isinstance(node, Literal), "checked by the parser"
    return float(node.value)
