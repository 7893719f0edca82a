"""What the documents say exists: make targets and commands. Links: test_docs_generated."""

import re
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from fieldline_edge import cli as edge_cli
from tests.tidy.tree import ROOT, files, text_of

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

DOCUMENTS = list(files(".", suffix=".md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_make_targets_in_documents_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of(Path("Makefile")), re.MULTILINE))
    text = text_of(document)
    blocks = "\n".join(_FENCE.findall(text))
    named = set(re.findall(r"^(?:.*&& )?make ([a-z]+)", blocks, re.MULTILINE)) | set(
        re.findall(r"`make ([a-z]+)", text)
    )

    assert named - targets == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_commands_in_documents_exist(document: Path) -> None:
    cloud = entry_points(group="fieldline.commands").names
    edge = set(edge_cli._COMMANDS)
    text = text_of(document)

    unknown = {word for word in re.findall(r"^(?:\$ )?fieldline ([a-z]+)", text, re.MULTILINE) if word not in cloud}
    unknown |= {
        word for word in re.findall(r"^(?:\$ )?fieldline-edge ([a-z]+)", text, re.MULTILINE) if word not in edge
    }

    assert unknown == set()


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["demo"], ".venv/bin/fieldline demo"),
        (["demo", "DURATION=30", "REPORT=r.json"], '.venv/bin/fieldline demo --duration "30" --report "r.json"'),
        (["test", "ARGS=-x"], ".venv/bin/pytest -x"),
        (["lint"], ".venv/bin/ruff format --check ."),
        (["bench"], ".venv/bin/python -m benchmarks"),
        (
            ["bench", "NAME=hub", "QUICK=1", "REPORT=o.json"],
            '.venv/bin/python -m benchmarks hub --quick --report "o.json"',
        ),
        (["protos"], "tools/protos.sh"),
    ],
)
def test_make_runs_what_its_help_says(words: list[str], command: str) -> None:
    done = subprocess.run(["make", "-n", *words], capture_output=True, text=True, check=True, timeout=30, cwd=ROOT)

    assert command in [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_the_gate_runs_lint_and_tests_and_lets_nothing_be_skipped() -> None:
    lines = text_of(Path(".ci/run")).splitlines()

    assert [line for line in lines if line.startswith("make ")] == ["make lint", "make test"]
    assert "export CI=true" in lines
    assert "set -euo pipefail" in lines
