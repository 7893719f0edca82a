"""Files that want to cost memory, time or more: refused quickly, with a sentence."""

import time
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.config import FILE_BYTES_MAX, FileSettings, load, loads
from fieldline.errors import ConfigError


class Anything(FileSettings):
    KIND: ClassVar[str] = "any"
    kind: Literal["any"]
    value: Any = None


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text, Anything, name="a.yaml", environment={})
    (problem,) = caught.value.problems
    assert "\n" not in problem
    return problem


def quickly(began_s: float) -> bool:
    return time.perf_counter() - began_s < 1.0


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "[[", "? ", "{? ["])
def test_five_thousand_nested_brackets_are_refused_at_once(opening: str) -> None:
    began_s = time.perf_counter()

    problem = refusal("kind: any\nvalue: " + opening * 5000 if opening != "- " else opening * 5000)

    assert problem.startswith("a.yaml:")
    assert "nested deeper than 40 levels; flatten it" in problem or "is not valid YAML" in problem
    assert quickly(began_s)


def test_forty_levels_are_enough_for_anybody() -> None:
    text = "kind: any\nvalue: " + "[" * 39 + "]" * 39

    assert loads(text, Anything, name="a.yaml").value is not None


def test_billion_laughs_are_refused_at_the_first_alias() -> None:
    lines = ["kind: any", "a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    began_s = time.perf_counter()

    assert refusal("\n".join(lines)) == "a.yaml:3: aliases (*a) are not allowed; write the value out"
    assert quickly(began_s)


def test_an_alias_to_itself_is_refused() -> None:
    assert "aliases (*a)" in refusal("kind: any\nvalue: &a [*a]\n")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("!!python/object/apply:os.system ['touch hacked']", "!!python/object/apply:os.system"),
        ("!!python/object:os.system x", "!!python/object:os.system"),
        ("!!python/name:os.system x", "!!python/name:os.system"),
        ("!!binary zz", "!!binary"),
        ("!!timestamp x", "!!timestamp"),
        ("!!int '5'", "!!int"),
        ("!own {a: b}", "!own"),
        ("! x", "!"),
    ],
)
def test_tags_are_refused_with_their_line(text: str, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    problem = refusal(f"kind: any\nvalue: {text}\n")

    assert problem == f"a.yaml:2: tags ({tag}) are not allowed; leave it out, write a plain value"
    assert not Path("hacked").exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind: any\n\tvalue: x\n", 2),
        ("\tkind: any\n", 1),
        ("kind: any\nvalue: [1, 2\n", 3),
        ("kind: any\nvalue: 'x\n", 3),
        ("kind: any\nvalue: a: b\n", 2),
        ("kind: any\n---\nvalue: 1\n", 2),
        ("kind: any\nvalue: @x\n", 2),
        ("kind: any\nvalue: %x\n", 2),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, line: int) -> None:
    problem = refusal(text)

    assert problem.startswith(f"a.yaml:{line}: is not valid YAML: ")
    assert problem.endswith("; check indentation, quotes and brackets there")


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x07", "\x7f", "\ufffe", "\x80"])
def test_control_characters_are_refused_with_their_line(character: str) -> None:
    problem = refusal(f"kind: any\nvalue: ä{character}\n")

    assert problem == "a.yaml:2: contains a control character; save the file as plain text"


def test_a_file_that_is_not_utf_8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"kind: any\nvalue: S\xfcd\n")

    with pytest.raises(ConfigError) as caught:
        load(path, Anything)

    assert caught.value.problems == (f"{path}:2: is not UTF-8 at byte 18; save it as UTF-8",)


def test_a_file_over_one_mebibyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"kind: any\nvalue: " + b"x" * FILE_BYTES_MAX)

    with pytest.raises(ConfigError, match=r"is larger than 1048576 bytes; split it into several files"):
        load(path, Anything)
    with pytest.raises(ConfigError, match=r"is larger than 1048576 bytes"):
        load("/dev/zero", Anything)


def test_ten_thousand_tags_with_one_error_are_checked_in_two_seconds() -> None:
    class Tag(FileSettings):
        KIND: ClassVar[str] = "tag"
        kind: str = "x"
        address: int
        scale: float = 1.0

    class Device(FileSettings):
        KIND: ClassVar[str] = "any"
        kind: Literal["any"]
        tags: tuple[Tag, ...]

    rows = [f"  - {{kind: holding, address: {number}, scale: 0.1}}\n" for number in range(10_000)]
    rows[6_999] = "  - {kind: holding, address: x, scale: 0.1}\n"

    began_s = time.process_time()
    with pytest.raises(ConfigError) as caught:
        loads("kind: any\ntags:\n" + "".join(rows), Device, name="a.yaml", environment={})

    assert [problem.split(": ")[:2] for problem in caught.value.problems] == [["a.yaml:7002", "tags[6999].address"]]
    assert time.process_time() - began_s < 2.0


@given(st.text(alphabet=st.sampled_from("kind: any\nvlue-[]{}&*!|>'\"%@`,?#\t\r\x00${:-}A1.~=<é"), max_size=60))
def test_no_text_makes_anything_but_settings_or_a_config_error(text: str) -> None:
    for whole in (text, f"kind: any\nvalue: {text}"):
        problems = problems_of(whole, A=text)

        assert all(problem.startswith("a.yaml") and "\n" not in problem for problem in problems)


def problems_of(text: str, **environment: str) -> tuple[str, ...]:
    try:
        loads(text, Anything, name="a.yaml", environment=environment)
    except ConfigError as error:
        return error.problems
    return ()
