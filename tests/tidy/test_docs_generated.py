"""The generated pages say what the code says, and the index of the documentation is whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_LINK = re.compile(r"\]\(([^)#\s]+)")


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


def test_the_index_names_every_page() -> None:
    linked = {(DOCS / link).resolve() for link in _LINK.findall((DOCS / "README.md").read_text())}

    missing = [str(page.relative_to(ROOT)) for page in sorted(DOCS.glob("*/*.md")) if page.resolve() not in linked]

    assert not missing, f"docs/README.md does not link {missing}; add them"


@pytest.mark.parametrize("unit", sorted(ROOT.glob("deploy/systemd/*.service")), ids=lambda unit: unit.name)
def test_every_unit_is_described_in_a_how_to(unit: Path) -> None:
    pages = "".join(page.read_text() for page in (DOCS / "how-to").glob("*.md"))

    assert unit.name in pages, f"no page in docs/how-to/ mentions {unit.name}"
