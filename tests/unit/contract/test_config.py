"""What a file may say, and how each mistake in it is named: file, line, key, problem, cure."""

from enum import Enum
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import AfterValidator, Field, SecretStr, model_validator

from fieldline.config import FileSettings, Settings, kind_of, load, loads, sample
from fieldline.errors import ConfigError
from fieldline.topics import check_name


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Pump(Settings):
    driver: Literal["pump"]
    name: Annotated[str, AfterValidator(check_name)]
    power_kw: float = 1.0

    @model_validator(mode="after")
    def _not_too_strong(self) -> "Pump":
        if self.power_kw > 100:
            raise ValueError(f"power_kw: {self.power_kw:g} is more than 100; correct it")
        return self


class Sensor(Settings):
    driver: Literal["sensor"]
    name: str
    channels: tuple[int, ...] = Field(default=(), max_length=3)
    level: Literal[0, 1, 2] = 1


class Inner(Settings):
    """A part of the file."""

    path: Path = Path("data/x")
    """Where things go."""
    password: SecretStr | None = None
    """Never shown."""
    colours: tuple[Colour, ...] = (Colour.RED,)
    """What it looks like,
    on two lines."""


class Shed(FileSettings):
    KIND: ClassVar[str] = "shed"
    kind: Literal["shed"] = "shed"
    """Always `shed`."""
    name: str = "Geräteschuppen: nördlich, mit einem Satz, der länger ist als die achtzig Zeichen einer YAML-Zeile"
    """What people call it."""
    port: int = Field(default=502, ge=1, le=65_535)
    """TCP port."""
    inner: Inner = Inner()
    """The part."""
    devices: tuple[Annotated[Pump | Sensor, Field(discriminator="driver")], ...] = ()
    """What stands in it."""
    shifts: dict[str, str] = Field(default_factory=dict)
    """Times by name."""


class Strict(FileSettings):
    KIND: ClassVar[str] = "strict"
    kind: Literal["strict"]
    """Says that this file is strict."""
    name: str
    """Must be given."""
    inner: Inner = Inner()
    """May be left out."""


def shed(text: str) -> Shed:
    return loads("kind: shed\n" + text, Shed, name="shed.yaml", environment={})


def problems_of(text: str, *, head: str = "kind: shed\n") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(head + text, Shed, name="shed.yaml", environment={})
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)


def test_a_file_becomes_typed_frozen_settings() -> None:
    settings = shed("port: 1502\ninner: {path: /tmp/a, colours: [green]}\ndevices:\n  - {driver: pump, name: p1}\n")

    assert settings.port == 1502
    assert settings.inner.path == Path("/tmp/a")
    assert settings.inner.colours == (Colour.GREEN,)
    assert isinstance(settings.devices[0], Pump)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prot: 1", "2: prot: is not a known key; did you mean 'port'?"),
        ("xyz: 1", "2: xyz: is not a known key; known keys: devices, inner, kind, name, port, shifts"),
        ("inner:\n  pth: x", "3: inner.pth: is not a known key; did you mean 'path'?"),
        ("port: 1\nname: a\nport: 2", "4: port: is already set on line 2; keep one"),
        ("inner: {path: a, path: b}", "2: inner.path: is already set on line 2; keep one"),
        ("port: many", "2: port: 'many': input should be a valid integer, unable to parse string as an integer"),
        ("port: 70000", "2: port: 70000: input should be less than or equal to 65535"),
        ("port:", "2: port: empty: input should be a valid integer"),
        ("name:", "2: name: is empty; must be text"),
        ("name: 5", "2: name: 5: must be text; write it in quotes"),
        ("name: on", "2: name: true: must be text; write it in quotes"),
        ("name: [a]", "2: name: a list: must be text; write it in quotes"),
        ("inner: 5", "2: inner: 5: must be a mapping, one 'key: value' line for each key"),
        ("inner:", "2: inner: is empty; must be a mapping, one 'key: value' line for each key"),
        ("devices: {a: b}", "2: devices: a mapping: must be a list, one '- ' line for each item"),
        ("devices: [5]", "2: devices[0]: 5: must be a mapping, one 'key: value' line for each key"),
        ("inner:\n  colours:\n    - red\n    - blue", "5: inner.colours[1]: 'blue': input should be 'red' or 'green'"),
        ("inner: {password: 12345}", "2: inner.password: (secret): must be text; write it in quotes"),
        ("? [a, b]\n: c", "2: (file): keys must be plain words; write it as 'key: value'"),
        ("<<: {port: 1}", "2: (file): keys must be plain words; write it as 'key: value'"),
        ('"a\\nb": 1', r"2: 'a\nb': is not a known key; known keys: devices, inner, kind, name, port, shifts"),
        ("'': 1", "2: '': is not a known key; known keys: devices, inner, kind, name, port, shifts"),
        ("port: 0100", "2: port: '0100' is no plain number; leave out leading zeros, or quote a text"),
        ("port: 0x_", "2: port: '0x_' cannot be read as a number; correct it, or quote a text"),
    ],
)
def test_each_mistake_is_named_with_line_key_problem_and_cure(text: str, problem: str) -> None:
    assert problems_of(text) == [f"shed.yaml:{problem}"]


def test_a_missing_key_is_named_at_the_line_of_what_it_is_missing_from() -> None:
    text = "devices:\n  - driver: pump\n    power_kw: 2\n"

    assert problems_of(text) == ["shed.yaml:3: devices[0].name: is missing; add it"]


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("    name: a\n    driver: pmp", "5: devices[1].driver: 'pmp': must be one of 'pump', 'sensor'"),
        ("    name: a", "4: devices[1].driver: is missing; add it"),
        ("    driver: [pump]", "4: devices[1].driver: \"['pump']\": must be one of 'pump', 'sensor'"),
        ("    driver: pump\n    name: a b", "5: devices[1].name: name 'a b' must be 1 to 64 of the characters "),
        (
            "    driver: pump\n    name: a\n    channels: []",
            "6: devices[1].channels: is not a known key; known keys: d",
        ),
        (
            "    driver: sensor\n    name: a\n    power_kw: 1",
            "6: devices[1].power_kw: is not a known key; known keys: c",
        ),
        (
            "    driver: pump\n    name: a\n    powr_kw: 1",
            "6: devices[1].powr_kw: is not a known key; did you mean 'po",
        ),
        (
            "    driver: pump\n    name: a\n    power_kw: 101",
            "4: devices[1]: power_kw: 101 is more than 100; correct it",
        ),
        ("    driver: sensor\n    name: a\n    channels:\n    - 1\n    - x", "8: devices[1].channels[1]: 'x': input s"),
        ("    driver: sensor\n    name: a\n    level: 3", "6: devices[1].level: 3: input should be 0, 1 or 2"),
    ],
)
def test_in_a_list_of_several_kinds_the_line_and_the_right_kinds_keys_are_named(item: str, problem: str) -> None:
    text = f"devices:\n  - {{driver: pump, name: ok}}\n  - {item.strip()}\n"

    (found,) = problems_of(text)

    assert found.startswith(f"shed.yaml:{problem}")


def test_problems_come_in_the_order_of_the_file() -> None:
    text = "inner:\n  colours: [blue]\nxyz: 1\nport: 0\n"

    assert [problem.split(":")[1] for problem in problems_of(text)] == ["3", "4", "5"]


def test_a_list_whose_items_are_wrong_is_not_called_short_as_well() -> None:
    class Full(FileSettings):
        KIND: ClassVar[str] = "full"
        kind: Literal["full"]
        numbers: Annotated[tuple[int, ...], Field(min_length=1)]

    with pytest.raises(ConfigError) as caught:
        loads("kind: full\nnumbers: [a]\n", Full, name="f.yaml")

    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "text",
    ["".join(f"key{number}: 1\n" for number in range(200)), "port: 1\n" * 201],
    ids=["unknown keys", "duplicate keys"],
)
def test_of_many_problems_the_first_twenty_are_shown_and_the_rest_counted(text: str) -> None:
    problems = problems_of(text)

    assert len(problems) == 21
    assert problems[-1] == "shed.yaml: and 180 more problems; mend these first"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "shed.yaml:1: must be a mapping; start the file with a line like 'kind: gateway'"),
        (
            "# nothing but a comment\n",
            "shed.yaml:1: must be a mapping; start the file with a line like 'kind: gateway'",
        ),
        ("- a\n", "shed.yaml:1: must be a mapping; start the file with a line like 'kind: gateway'"),
        ("port: 1\n", "shed.yaml:1: kind: is missing; start the file with the line 'kind: shed'"),
        ("port: 1\nkind: hut\n", "shed.yaml:2: kind: is 'hut'; this command needs a file with 'kind: shed'"),
        ("kind: [shed]\n", "shed.yaml:1: kind: is a list; this command needs a file with 'kind: shed'"),
        ("kind:\n", "shed.yaml:1: kind: is empty; this command needs a file with 'kind: shed'"),
    ],
)
def test_a_file_of_another_kind_is_refused(text: str, problem: str) -> None:
    assert problems_of(text, head="") == [problem]


def test_what_yaml_would_turn_into_numbers_and_dates_behind_ones_back_stays_text() -> None:
    settings = shed("shifts: {early: 06:00, late: 14:30, from: 2026-01-01}\nname: 1:30\n")

    assert settings.shifts == {"early": "06:00", "late": "14:30", "from": "2026-01-01"}
    assert settings.name == "1:30"


def test_files_with_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "shed.yaml"
    path.write_bytes("\ufeffkind: shed\r\nname: 'Süd'\r\n".encode())

    assert load(path, Shed).name == "Süd"
    assert kind_of(path) == "shed"


def test_the_kind_of_a_file_without_one_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("port: 1\n")

    with pytest.raises(ConfigError, match=r"x.yaml:1: kind: is missing; start the file with a line like"):
        kind_of(path)


@pytest.mark.parametrize(("name", "reason"), [("missing.yaml", "No such file"), (".", "Is a directory")])
def test_what_is_no_file_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot be read: {reason}.*; check the path"):
        load(tmp_path / name, Shed)


def test_a_sample_is_a_file_that_loads() -> None:
    assert loads(sample(Shed), Shed, name="sample") == Shed()


def test_an_uncommented_line_of_a_sample_changes_nothing() -> None:
    lines = sample(Shed).splitlines()
    keys = tuple(f"# {key}:" for key in Shed.model_fields)
    uncommented = "\n".join(line.removeprefix("# ") if line.startswith(keys) else line for line in lines)

    assert uncommented.count("\n# ") < sample(Shed).count("\n# ")
    assert loads(uncommented, Shed, name="sample") == Shed()


def test_a_sample_says_what_must_be_filled_in() -> None:
    text = sample(Strict)

    assert "# Must be given.\nname:\n" in text
    assert text.startswith("# Says that this file is strict.\nkind: strict\n")
    assert loads(text.replace("name:\n", "name: x\n"), Strict, name="sample").name == "x"
    assert "password: null" in text
