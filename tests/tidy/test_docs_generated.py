"""The documentation says what the code says, and its links lead somewhere."""

import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
_LINK = re.compile(r"(?<!!)\[[^\]\[]*\]\(([^()\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def _anchor(heading: str) -> str:
    """As GitHub makes it: lower case, spaces to dashes, everything else that is no word dropped."""
    kept = [each for each in heading.strip().lower() if each in " -_" or unicodedata.category(each)[0] in "LN"]
    return "".join(kept).replace(" ", "-")


def _links(page: Path) -> Iterator[str]:
    for found in _LINK.finditer(_prose(page)):
        if not re.match(r"[a-z]+:", found[1]):
            yield found[1]


def test_the_generated_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "export_docs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, f"{done.stdout}{done.stderr}run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in _links(page):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists():
            broken.append(f"{link}: there is no {target}")
        elif anchor and anchor not in {_anchor(one) for one in _HEADING.findall(_prose(target))}:
            broken.append(f"{link}: {target.name} has no such heading")

    assert not broken, f"{_name(page)}: {broken}; mend the links"


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _links(index)}

    missing = [_name(page) for page in ROOT.glob("docs/**/*.md") if page != index and page.resolve() not in linked]

    assert not missing, f"docs/README.md does not link {missing}; add them"


@pytest.mark.parametrize("unit", sorted(ROOT.glob("deploy/systemd/*.service")), ids=_name)
def test_every_unit_is_described_in_a_how_to(unit: Path) -> None:
    pages = "".join(page.read_text() for page in ROOT.glob("docs/how-to/*.md"))

    assert unit.name in pages, f"no page in docs/how-to/ mentions {unit.name}"
