"""The `fieldline` command without a hub: help, wrong usage, exit codes, what is loaded."""

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from fieldline import __version__
from fieldline.cli import main, run
from fieldline.errors import (
    BadName,
    BadTopic,
    ConfigError,
    DecodeError,
    FieldlineError,
    HubUnavailable,
    LimitError,
    Refused,
)

COMMANDS = [
    "pub",
    "sub",
    "check",
    "topics",
    "subscriptions",
    "subscriptions delete",
    "agents",
    "dead list",
    "dead show",
    "dead replay",
    "dead drop",
    "tail",
    "purge",
    "backup",
    "restore",
    "hub",
    "demo",
    "simulate",
    "plant fault",
    "plant clear",
    "plant switch",
    "plant status",
    "agent anomaly",
    "agent maintenance",
    "alarms list",
    "alarms ack",
    "alarms shelve",
    "alarms unshelve",
    "alarms out",
    "alarms back",
    "alarms health",
    "agent prognosis",
    "certs init",
    "certs issue",
    "certs list",
    "certs revoke",
    "tokens issue",
    "tokens list",
    "tokens revoke",
    "write",
    "tasks list",
    "tasks show",
    "tasks accept",
    "tasks travel",
    "tasks start",
    "tasks wait",
    "tasks done",
    "tasks note",
    "tasks reject",
    "tasks assign",
    "tasks pin",
    "tasks unpin",
    "tasks cancel",
    "tasks absent",
    "tasks back",
    "tasks plan",
    "tasks parts",
    "tasks receive",
    "tasks stocktake",
    "tasks history",
    "tasks calendar",
    "tasks technicians",
    "tasks notify-test",
]


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of `fieldline words...`, run in this process."""
    monkeypatch.setattr(sys, "argv", ["fieldline", *words])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FIELDLINE_HUB", raising=False)
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "--version") == 0

    assert capsys.readouterr().out == f"fieldline {__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = call(monkeypatch, *words)

    out = capsys.readouterr().out
    assert code == (0 if words else 2)
    for name in entry_points(group="fieldline.commands").names:
        assert re.search(rf"^\W+{name} ", out, re.MULTILINE), name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_and_its_exit_codes(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *command.split(), "--help") == 0

    out = capsys.readouterr().out
    assert f"Example: fieldline {command} " in out
    assert re.search(r"Exit codes: 0 .*[1-3] ", out)
    assert "`" not in out


def test_every_command_is_tested_here() -> None:
    assert {command.split()[0] for command in COMMANDS} == entry_points(group="fieldline.commands").names


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("pub", "a/#", "x"), 2, "error: topic 'a/#': '+' and '#' belong into filters; publish to one exact topic"),
        (("pub", "", "x"), 2, "error: topic is empty; give one like 'readings/site/area/device'"),
        (
            ("pub", "a", "x", "--name", "a b"),
            2,
            "error: name 'a b' must be 1 to 64 of the characters A-Z a-z 0-9 _ . -",
        ),
        (("sub", "a/#/b"), 2, "error: filter 'a/#/b': '#' must be the whole last level, as in 'readings/#'"),
        (("sub", "a", "--from", "soon"), 2, "--from soon: must be live, start, or an offset like 1500"),
        (("sub", "a", "--from", str(1 << 63)), 2, f"--from {1 << 63}: must be live, start, or an offset like 1500"),
        (
            ("sub", "a", "--durable", "../x"),
            2,
            "error: name '../x' must be 1 to 64 of the characters A-Z a-z 0-9 _ . -",
        ),
        (("sub", "a", "--hub", "nowhere"), 2, "--hub: 'nowhere' is not an address; write it like 127.0.0.1:50051"),
        (("sub", "a", "--hub", "x:99999"), 2, "--hub: 'x:99999' is not an address; write it like 127.0.0.1:50051"),
        (("hub", "--listen", "x", "--data", "/tmp"), 2, "listen: 'x' is not an address; write it like 127.0.0.1:50051"),
        (
            ("hub", "--log-level", "loud"),
            2,
            "--log-level: log level 'loud' is not known; use debug, info, warning or error",
        ),
        (("hub", "/none.yaml"), 2, "/none.yaml: cannot be read: No such file or directory; check the path"),
        (
            ("agent", "anomaly", "/none.yaml"),
            2,
            "/none.yaml: cannot be read: No such file or directory; check the path",
        ),
        (("demo", "--report", "/none/r.json"), 2, "--report /none/r.json: there is no folder /none; make it first"),
        (("topics", "a/#/b"), 2, "error: filter 'a/#/b': '#' must be the whole last level, as in 'readings/#'"),
        (("topics", "--hub", "nowhere"), 2, "--hub: 'nowhere' is not an address; write it like 127.0.0.1:50051"),
        (
            ("agents", "--serving", "a/#"),
            2,
            "error: topic 'a/#': '+' and '#' belong into filters; publish to one exact topic",
        ),
        (
            ("subscriptions", "delete", "a b"),
            2,
            "error: durable 'a b' must be 1 to 64 of the characters A-Z a-z 0-9 _ . -",
        ),
        (
            ("dead", "replay", "d"),
            2,
            "give the offsets of the dead letters to replay, or --all for all of d; not both",
        ),
        (
            ("dead", "drop", "d", "1", "--all"),
            2,
            "give the offsets of the dead letters to drop, or --all for all of d; not both",
        ),
        (("purge", "a", "--below", "5", "--before", "1d"), 2, "--below and --before: give one of them"),
        (
            ("purge", "a", "--before", "soon"),
            2,
            "'soon' is not a time; write an age like 36h or 14d, or 2026-01-31T12:00Z",
        ),
        (("purge", "a"), 2, "not done: agree with 'y', or say --yes where nobody can be asked"),
        (
            ("backup", "/none/b.tar"),
            2,
            "/none/b.tar.partial: cannot be written: No such file or directory; choose another place",
        ),
        (
            ("restore", "/none.tar", "--data", "data/never-made"),
            2,
            "/none.tar: cannot be read: No such file or directory; check the path",
        ),
        (("nonsense",), 2, "error: no such command 'nonsense'; see 'fieldline --help'"),
        (("pub",), 2, "error: missing argument 'topic'; see 'fieldline pub --help'"),
        (("agent", "x"), 2, "error: no such command 'x'; see 'fieldline agent --help'"),
        (("--nonsense",), 2, "error: no such option: --nonsense; see 'fieldline --help'"),
    ],
)
def test_what_cannot_work_is_said_in_one_line_with_its_exit_code(
    words: tuple[str, ...],
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, *words) == code

    told = capsys.readouterr()
    assert (told.out, told.err) == ("", sentence + "\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            ConfigError("a.yaml:1: x: is wrong; mend it", "a.yaml:2: y: too"),
            2,
            "a.yaml:1: x: is wrong; mend it\na.yaml:2: y: too\n",
        ),
        (LimitError("too long"), 2, "error: too long\n"),
        (BadTopic("no topic"), 2, "error: no topic\n"),
        (BadName("no name"), 2, "error: no name\n"),
        (DecodeError("cut"), 1, "error: cut\n"),
        (FieldlineError("log failed"), 1, "error: log failed\n"),
        (HubUnavailable("nobody there"), 3, "error: nobody there\n"),
        (Refused("no", code="TOPIC"), 3, "error: no\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_each_error_has_its_exit_code_and_one_line(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(**_: object) -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        run(command)

    assert end.value.code == code
    assert capsys.readouterr().err == said


def test_an_error_that_is_a_bug_keeps_its_traceback() -> None:
    def command(**_: object) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        run(command)


@pytest.mark.parametrize("path", sorted(Path("config").rglob("*.yaml")), ids=str)
def test_every_shipped_configuration_is_right(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "check", str(path)) == 0

    assert re.fullmatch(rf"{path}: ok \(\w+\)\n", capsys.readouterr().out)


def test_check_names_the_problems_of_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.yaml").write_text("kind: hub\n")
    (tmp_path / "bad.yaml").write_text("kind: hub\nlimits: {topics: 5}\n")
    (tmp_path / "odd.yaml").write_text("kind: hat\n")
    (tmp_path / "none.yaml").write_text("listen: x\n")
    names = ("bad", "good", "odd", "none")

    code = call(monkeypatch, "check", *(str(tmp_path / f"{name}.yaml") for name in names))

    told = capsys.readouterr()
    assert code == 2
    assert told.out == f"{tmp_path}/good.yaml: ok (hub)\n"
    assert told.err.splitlines() == [
        f"{tmp_path}/bad.yaml:2: limits.topics: is not a known key; did you mean 'topics_max'?",
        f"{tmp_path}/odd.yaml:1: kind: 'hat' is not known; "
        "use one of anomaly, gateway, hub, maintenance, plant, profile, prognosis",
        f"{tmp_path}/none.yaml:1: kind: is missing; start the file with a line like 'kind: gateway'",
    ]


@pytest.mark.parametrize(
    ("words", "module", "sentence"),
    [
        (["simulate", "x.yaml"], "paho", "simulate: paho is not installed; run: pip install 'fieldline[edge]'"),
        (["simulate", "--help"], "paho", None),
        (
            ["check", "config/demo/hub.yaml"],
            "grpc_health",
            "hub: grpc_health is not installed; run: pip install 'fieldline[cloud]'",
        ),
        (
            ["pub", "a", "b"],
            "typer",
            "fieldline: the command line is not installed; run: pip install 'fieldline[tools]'",
        ),
    ],
)
def test_a_part_that_is_not_installed_is_named_with_what_to_install(
    words: list[str], module: str, sentence: str | None
) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; sys.argv = ['fieldline', *{words!r}]"

    told = python(f"{code}; from fieldline.cli import main; main()")

    if sentence is None:
        assert told.returncode == 0
        assert "Not available: simulate: paho is not installed" in " ".join(told.stdout.split())
    else:
        assert (told.returncode, told.stderr.splitlines()) == (2, [sentence])


def test_publishing_loads_nothing_it_does_not_need_before_it_is_checked() -> None:
    code = "import sys; sys.argv = ['fieldline', 'pub', 'a', 'b', '--hub', 'x']; from fieldline.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += (
        "print(*(m for m in ('grpc', 'rich', 'yaml', 'google.protobuf', 'prometheus_client') if m in sys.modules))\n"
    )

    told = python(code)

    assert told.stdout == "\n"


def test_a_part_that_is_missed_while_a_command_runs_is_one_line_that_says_what_to_install(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def app(**_: object) -> None:
        raise ModuleNotFoundError("No module named 'grpc_health'", name="grpc_health")

    with pytest.raises(SystemExit) as ended:
        run(app)
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: grpc_health is not installed; pip install 'fieldline[cloud]'")
