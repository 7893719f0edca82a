"""${NAME} in a value: taken from the environment after parsing."""

from typing import Any, ClassVar, Literal

import pytest

from fieldline.config import FileSettings, loads
from fieldline.errors import ConfigError


class Anything(FileSettings):
    KIND: ClassVar[str] = "any"
    kind: Literal["any"]
    value: Any = None
    port: int = 0


def value_of(text: str, **environment: str) -> Any:
    return loads(f"kind: any\nvalue: {text}\n", Anything, name="a.yaml", environment=environment).value


def problems_of(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        value_of(text, **environment)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", 502),
        ("'${A}'", "502"),
        ('"${A}"', "502"),
        ("${MISSING:-7}", 7),
        ("'${MISSING:-7}'", "7"),
        ("${A:-7}", 502),
        ("${MISSING:-}", None),
        ("'${MISSING:-}'", ""),
        ("${EMPTY:-7}", None),
        ("${YES}", True),
        ("${FLOAT}", 1.5),
        ("127.0.0.1:${A}", "127.0.0.1:502"),
        ("${A}${A}", 502502),
        ("${MISSING:-a:b/c}", "a:b/c"),
        ("${TIME}", "14:30"),
        ("[1, '${A}', {b: 5}]", [1, "502", {"b": 5}]),
        ("$A", "$A"),
        ("5 $ and {A}", "5 $ and {A}"),
    ],
)
def test_unquoted_values_are_typed_and_quoted_ones_are_text(text: str, value: object) -> None:
    environment = {"A": "502", "EMPTY": "", "YES": "true", "FLOAT": "1.5", "TIME": "14:30"}

    found = value_of(text, **environment)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "hostile",
    [
        "[1, 2]",
        "{a: b}",
        "x\nport: 99",
        "x # comment",
        "*alias",
        "!!python/object:os.system x",
        "${A}",
        "&a b",
        "<<",
        "=",
    ],
)
def test_a_value_from_the_environment_never_changes_the_structure(hostile: str) -> None:
    settings = loads("kind: any\nvalue: ${A}\n", Anything, name="a.yaml", environment={"A": hostile})

    assert settings.value == hostile
    assert settings.port == 0


def test_a_variable_that_is_not_set_is_named_with_its_cure() -> None:
    assert problems_of("${SITE}") == [
        "a.yaml:2: value: the environment variable SITE is not set; set it, or write ${SITE:-default}"
    ]


@pytest.mark.parametrize("text", ["${SITE", "${SITE:default}", "a ${} b", "${1A}", "${A:-x}${"])
def test_a_substitution_that_is_written_wrongly_is_no_silent_text(text: str) -> None:
    (problem,) = problems_of(f"'{text}'", SITE="x")

    assert problem == f"a.yaml:2: value: {text!r} is cut short; write ${{NAME}} or ${{NAME:-default}}"


def test_a_number_that_python_cannot_hold_is_refused_and_not_crashed_on() -> None:
    assert problems_of("${A}", A="9" * 10_000)[0].endswith(
        "is no plain number; leave out leading zeros, or quote a text"
    )


def test_keys_are_not_substituted() -> None:
    with pytest.raises(ConfigError, match=r"\$\{A\}: is not a known key"):
        loads("kind: any\n${A}: 1\n", Anything, name="a.yaml", environment={"A": "port"})
