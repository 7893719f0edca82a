import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Quality, Reading, Value
from fieldline_edge.processing.expressions.compiler import Fault, Reason, Scope, compile_expression
from fieldline_edge.processing.expressions.functions import FUNCTIONS
from fieldline_edge.processing.expressions.parser import CHARACTERS_MAX, parse
from fieldline_edge.processing.expressions.tree import ExpressionError


def evaluate(text: str, /, **tags: Value | Reading | None) -> tuple[Value, Quality]:
    expression = parse(text)
    indexes = {name: index for index, name in enumerate(expression.tags)}
    values = [tags.get(name) for name in indexes]
    readings = [one if one is None or isinstance(one, Reading) else Reading("t", 1, one) for one in values]
    return compile_expression(expression, indexes).evaluate(Scope(readings))


def value_of(text: str, /, **tags: Value | Reading | None) -> Value:
    return evaluate(text, **tags)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("7 // 2 + 7 % 4", 6),
        ("not 1 > 2 and 3 != 4 or false", True),
        ("1 if 2 < 1 else 3 if true else 4", 3),
        ("if(2 < 1, 1, 3)", 3),
        ("min(3, 1, 2) + max(1, 2) + abs(-4)", 7),
        ("avg(1, 2, 6)", 3.0),
        ("hypot(3, 4)", 5.0),
        ("clamp(12, 0, 10)", 10),
        ("round(2.345, 2)", 2.35),
        ("round(2.5)", 2),
        ("sqrt(16) + exp(0) + ln(1) + log10(100) + sign(-3)", 6.0),
        ("floor(2.7) + ceil(2.2) + trunc(-2.7)", 3),
        ("atan2(1, 0) * 2 == pi()", True),
        ("bit(5, 0) and not bit(5, 1)", True),
        ("'a' == \"a\"", True),
        (".5e1", 5.0),
    ],
)
def test_a_formula_means_what_it_says(text: str, value: Value) -> None:
    assert value_of(text) == pytest.approx(value)


def test_tags_stand_for_their_newest_value() -> None:
    assert value_of("voltage * current", voltage=230.0, current=2) == 460.0
    assert value_of("motor.speed > 10", **{"motor.speed": 11}) is True
    assert value_of("`flow-1` + 1", **{"flow-1": 2}) == 3
    assert value_of("state == 'RUN'", state="RUN") is True


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the end stands where a value is missing"),
        ("1 +", "the end stands where a value is missing"),
        ("(1 + 2", "the end stands where '(' must be closed; add ')'"),
        ("1 2", "character 3 ('2') comes after a whole formula; put an operator before it"),
        ("a = 1", "character 3 ('=') has no meaning there; write == to compare"),
        ("a & b", "write 'and'"),
        ("a ^ 2", "write ** for a power"),
        ("a.b.", "character 4 ('.') has no meaning there"),
        ("sqr(4)", "character 1 ('sqr') is no function; did you mean 'sqrt'?"),
        ("zzzz(4)", "is no function; known are abs, "),
        ("sqrt(4, 5)", "has 2 arguments; write sqrt(x)"),
        ("1 < 2 < 3", "character 7 ('<') compares a comparison; write: a < b and b < c"),
        ("1 + not 2", "needs brackets there; write (not x)"),
        ("1 if 2", "the end stands where 'else' is missing; write: a if test else b"),
        ("delta(1 + 2)", "remembers the readings of one tag"),
        ("delta(a, b)", "wraps at a plain number above 0"),
        ("9" * 30, "is a number that no reading can carry"),
        ("1e999", "is a number that no reading can carry"),
        ("(" * 40 + "1" + ")" * 40, "is nested deeper than 32"),
        ("-" * 40 + "1", "is nested deeper than 32"),
        ("2**" * 40 + "1", "is nested deeper than 32"),
        ("1" + "+1" * 300, "is beyond 256 parts"),
        ("1 " * 600, f"has 1200 characters; at most {CHARACTERS_MAX} are allowed"),
        ("`a", "close the name with another `"),
        ("and", "stands where a value is missing; a tag of that name stands in backticks"),
        ("__import__('os')", "is no function"),
    ],
)
def test_a_formula_that_cannot_be_read_is_refused_with_place_and_cure(text: str, complaint: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse(text)

    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / zero", Reason.DIVISION_BY_ZERO),
        ("1 // zero", Reason.DIVISION_BY_ZERO),
        ("1 % zero", Reason.DIVISION_BY_ZERO),
        ("9 ** 9 ** 9", Reason.TOO_LARGE),
        ("9.0 ** 999", Reason.TOO_LARGE),
        ("big * big * big", Reason.TOO_LARGE),
        ("1e308 * 10", Reason.TOO_LARGE),
        ("exp(1000)", Reason.TOO_LARGE),
        ("sqrt(-1)", Reason.DOMAIN),
        ("ln(zero)", Reason.DOMAIN),
        ("(-8) ** 0.5", Reason.DOMAIN),
        ("round(1, 99)", Reason.DOMAIN),
        ("bit(1, 64)", Reason.DOMAIN),
        ("clamp(1, 3, 2)", Reason.DOMAIN),
        ("text * 3", Reason.TYPE),
        ("text + text", Reason.TYPE),
        ("text % 3", Reason.TYPE),
        ("text < 3", Reason.TYPE),
        ("-text", Reason.TYPE),
        ("not text", Reason.TYPE),
        ("max(text, 1)", Reason.TYPE),
        ("unread + 1", Reason.NOT_YET),
    ],
)
def test_a_formula_without_an_answer_says_why(text: str, reason: Reason) -> None:
    with pytest.raises(Fault) as fault:
        evaluate(text, zero=0, big=1 << 62, text="%s", unread=None)

    assert fault.value.reason is reason
    assert fault.value.quality is Quality.BAD_CALCULATION


def test_a_bad_input_makes_the_result_bad_for_the_same_reason() -> None:
    broken = Reading("a", 1, None, Quality.BAD_TIMEOUT)

    with pytest.raises(Fault) as fault:
        evaluate("a + b", a=broken, b=1)

    assert (fault.value.reason, fault.value.quality) == (Reason.INPUT, Quality.BAD_TIMEOUT)


def test_an_uncertain_input_makes_the_result_uncertain_if_it_is_used() -> None:
    old = Reading("a", 1, 5.0, Quality.UNCERTAIN_STALE)

    assert evaluate("a + b", a=old, b=1) == (6.0, Quality.UNCERTAIN_STALE)
    assert evaluate("b if b > 0 else a", a=old, b=1) == (1, Quality.GOOD)


def test_default_and_ok_stand_in_for_what_is_bad() -> None:
    broken = Reading("a", 1, None, Quality.BAD_TIMEOUT)

    assert evaluate("default(a, 7)", a=broken) == (7, Quality.GOOD)
    assert evaluate("default(1 / b, 7)", b=0) == (7, Quality.GOOD)
    assert evaluate("ok(a)", a=broken) == (False, Quality.GOOD)
    assert evaluate("ok(a) or b > 1", a=None, b=2) == (True, Quality.GOOD)


@given(st.text())
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError, Fault):
        value_of(text)


WORDS = "and or not if else a b `c-d` 't' 1 2.5 9 0 ( ) , ** * + - / // % < == 1e300 18446744073709551615 true"
PIECES = st.sampled_from([*FUNCTIONS, *WORDS.split()])


@given(st.lists(PIECES, max_size=30), st.sampled_from([0, 1, -3, 2.5, 1 << 63, 1e308, math.nan, "s", True, None]))
def test_any_row_of_words_is_a_formula_or_refused(pieces: list[str], value: Value) -> None:
    try:
        found, _ = evaluate(" ".join(pieces), a=value, b=value)
    except (ExpressionError, Fault):
        return

    assert found is not None
    assert type(found) is not int or -(1 << 63) <= found < 1 << 63
    assert type(found) is not float or math.isfinite(found)


NUMBERS = st.integers(0, 1000).map(str) | st.floats(0, 1e6).map(repr)
SIGNS = st.sampled_from(["+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!=", "**"])


def combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def join(left: str, sign: str, right: str, brackets: bool) -> str:
        return (
            f"({left}) {sign} ({right})"
            if brackets or sign in ("<", "<=", ">", ">=", "==", "!=")
            else (f"{left} {sign} {right}")
        )

    return (
        st.builds(join, parts, SIGNS, parts, st.booleans())
        | parts.map(lambda inner: f"-({inner})")
        | parts.map(lambda inner: f"- {inner}")
        | st.builds("({}) if ({}) else ({})".format, parts, parts, parts)
        | st.builds("({}) < ({}) and ({}) < ({}) or not ({})".format, parts, parts, parts, parts, parts)
    )


@given(st.recursive(NUMBERS, combined, max_leaves=12))
def test_arithmetic_agrees_with_pythons_own(text: str) -> None:
    try:
        expected: Any = _as_python(text)
    except ZeroDivisionError:
        expected = Reason.DIVISION_BY_ZERO
    except (ArithmeticError, ValueError, SyntaxError):
        return  # too large, a comparison of comparisons
    try:
        found: Any = value_of(text)
    except ExpressionError as refused:
        if "compares a comparison" in str(refused) or "nested" in str(refused):
            return
        raise
    except Fault as fault:
        if fault.reason in (Reason.TOO_LARGE, Reason.DOMAIN):
            return  # what Python answers with an int of thousands of digits, infinity, or a complex number
        found = fault.reason

    if isinstance(expected, bool):
        assert bool(found) == expected
    elif isinstance(expected, Reason) or isinstance(found, Reason):
        assert found is expected
    else:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def _as_python(text: str) -> Any:
    code = compile(text, "formula", "eval", dont_inherit=True)
    assert code.co_names == ()
    if text.count("**") > 1:
        raise OverflowError("left to the other tests")
    result = eval(code, {"__builtins__": {}})  # the test's own text, of numbers and signs alone
    if isinstance(result, complex) or (isinstance(result, float) and not math.isfinite(result)):
        raise OverflowError("no finite real number")
    return result
