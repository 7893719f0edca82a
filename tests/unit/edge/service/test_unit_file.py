"""The unit file that comes with the gateway."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[4] / "deploy/systemd/fieldline-edge.service"
EXPOSURE_MAX = 2.5  # of 10; what is left is the network, the serial ports and Unix sockets


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("systemd-analyze is not installed; run: apt-get install systemd")
        pytest.skip("systemd-analyze is not installed; run: apt-get install systemd")
    return found


def test_systemd_understands_every_line(analyze: str, tmp_path: Path) -> None:
    there = tmp_path / UNIT.name
    there.write_text(UNIT.read_text().replace("/opt/fieldline/bin/fieldline-edge", "/bin/true"))

    done = subprocess.run([analyze, "verify", str(there)], capture_output=True, text=True, timeout=60, check=False)

    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []


def test_what_a_broken_in_gateway_could_reach_is_little(analyze: str) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=true", str(UNIT)], capture_output=True, text=True, timeout=60, check=False
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if found is None:
        pytest.skip(f"this systemd-analyze cannot look at a file: {done.stderr.strip()[:100]}")

    assert float(found.group(1)) <= EXPOSURE_MAX
