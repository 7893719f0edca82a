"""House rules for every source file that no linter knows."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGES, PYTHON, files, python_files, text_of

LINES_MAX = 500
LONGER = {"tools/export_docs.py": "one generator; much of it is the tables of sentences its pages share"}

_EXCEPTION = re.compile(r"#\s*(noqa|type:\s*ignore)")
_WITH_REASON = re.compile(r"#\s*(noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*|type: ignore\[[a-z, -]+\])(\s+# | - )\S")

# Written in parts, so that this file does not find itself.
NOT_FOR_THE_PUBLIC = (
    "/wo" + "rk/",
    "/ro" + "ot/",
    "py" + "pi.org",
    "files.python" + "hosted.org",
    "registry.np" + "mjs.org",
    "proxy.go" + "lang.org",
)


@pytest.mark.parametrize("path", list(python_files(*PACKAGES)), ids=str)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = text_of(path)

    assert not text.strip() or ast.get_docstring(ast.parse(text)), "begin with a docstring: one sentence, what it holds"


def comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text_of(path)).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_every_lint_exception_names_its_rule_and_its_reason() -> None:
    bare = [
        f"{path}:{line}: {comment}"
        for path in python_files()
        for line, comment in comments(path)
        if _EXCEPTION.search(comment) and not _WITH_REASON.search(comment)
    ]

    assert bare == [], "write '# noqa: RULE  # why' or '# type: ignore[code]  # why'"


def test_no_file_is_too_long_to_be_one_room() -> None:
    long = {str(path): text_of(path).count("\n") for path in python_files() if text_of(path).count("\n") > LINES_MAX}

    assert {path: lines for path, lines in long.items() if path not in LONGER} == {}
    assert [path for path in LONGER if path not in long] == []


def test_nothing_names_a_machine_or_a_package_registry() -> None:
    found = []
    for path in files("."):
        try:
            text = text_of(path)
        except UnicodeDecodeError:
            continue  # a picture or a recorded trace
        found += [f"{path}: {word}" for word in NOT_FOR_THE_PUBLIC if word in text]

    assert found == []


def test_test_files_with_tests_are_named_so_that_they_run() -> None:
    stray = [
        str(path)
        for path in python_files("tests")
        if re.search(r"^(async )?def test_", text_of(path), re.MULTILINE) and not path.name.startswith("test_")
    ]

    assert stray == []


def test_every_folder_of_source_is_looked_at() -> None:
    tops = {path.parts[0] for path in python_files(".")}

    assert tops <= {folder.split("/")[0] for folder in PYTHON} | {"docs"}
