"""The security checklist names tests; each of them must exist."""

import ast
import re
from pathlib import Path

from tests.tidy.tree import python_files, text_of

PAGE = Path("docs/reference/security-checklist.md")


def test_every_test_that_the_checklist_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", text_of(PAGE)))
    there = {
        node.name
        for path in python_files("tests")
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert len(named) > 30
    assert named - there == set()


def test_every_row_of_the_checklist_names_a_test() -> None:
    rows = [line for line in text_of(PAGE).splitlines() if re.match(r"\| \d+ \|", line)]

    assert [row for row in rows if "`test_" not in row] == []
    assert [int(row.split("|")[1]) for row in rows] == [1, 2, 6, 7, 8, 9, 10, 11, 15, 16, 23, 25, 27, 29]
