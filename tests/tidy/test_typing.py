"""The SDK as a type checker sees it."""

import subprocess
import sys

from tests.tidy.tree import ROOT


def test_the_sample_agent_is_typed_as_its_author_expects() -> None:
    command = [sys.executable, "-m", "mypy", "tests/typing/sdk.py"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stdout


def test_every_package_says_that_it_is_typed() -> None:
    for package in ("protos/fieldline", "edge/fieldline_edge", "cloud/fieldline_cloud"):
        assert (ROOT / package / "py.typed").exists()
