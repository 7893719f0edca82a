"""The installer of the Pi: what it refuses, what it would do, and a real installation below a scratch root."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "deploy/install-edge.sh"


def install(*options: str, environment: Mapping[str, str] | None = None, expected: int = 0) -> str:
    done = subprocess.run(
        [SCRIPT, *options],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | dict(environment or {}),
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


def skip(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", str(ROOT), "--wheel-dir", str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        skip(f"no wheel can be built here: {done.stderr[-200:]}")
    (built,) = folder.glob("fieldline-*.whl")
    return built


@pytest.fixture
def shellcheck() -> str:
    found = shutil.which("shellcheck")
    if found is None:
        skip("shellcheck is not installed; run: apt-get install shellcheck")
    return str(found)


def test_shellcheck_has_nothing_to_say(shellcheck: str) -> None:
    done = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout == ""


@pytest.mark.parametrize(
    ("machine", "bits", "sentence"),
    [
        ("armv7l", "32", "this is a 32-bit system (armv7l), and zstandard and grpcio have no wheels for it"),
        ("aarch64", "32", "the system around it is 32-bit"),
        ("riscv64", "64", "riscv64 is not supported; aarch64 and x86_64 are"),
    ],
)
def test_a_machine_that_cannot_run_it_is_refused_before_anything_is_done(
    tmp_path: Path, machine: str, bits: str, sentence: str
) -> None:
    pretended = {"FIELDLINE_MACHINE": machine, "FIELDLINE_BITS": bits}

    said = install("--root", str(tmp_path / "r"), environment=pretended, expected=2)

    assert sentence in said
    assert list((tmp_path / "r").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--colour"], "--colour is no option"),
        (["--wheel"], "--wheel needs a value"),
        (["--wheel", "none.whl"], "none.whl is not there"),
        (["--wheelhouse", "/nowhere"], "/nowhere is no folder"),
        (["--purge"], "--purge goes with --uninstall"),
        (["--wheel", "a.whl", "--version", "1"], "exclude each other"),
        (["--python", "/bin/false"], "/bin/false is not Python 3.11 or newer"),
    ],
)
def test_wrong_usage_is_named(tmp_path: Path, options: Sequence[str], sentence: str) -> None:
    assert sentence in install("--root", str(tmp_path), *options, expected=2)


def test_a_dry_run_says_each_step_and_does_none(tmp_path: Path) -> None:
    said = install("--dry-run", "--python", sys.executable, "--version", "9.9")

    for step in ("useradd --system", "-m venv /opt/fieldline", "fieldline[edge]==9.9", "systemctl enable"):
        assert step in said
    assert all(line.startswith("would: ") or "stays as it is" in line for line in said.splitlines())


def test_it_installs_and_upgrades_and_never_touches_the_configuration(tmp_path: Path, wheel: Path) -> None:
    root, program = tmp_path / "root", tmp_path / "root/opt/fieldline/bin/fieldline-edge"
    config, unit = root / "etc/fieldline/gateway.yaml", root / "etc/systemd/system/fieldline-edge.service"
    # What the wheel depends on comes from where the tests run: fetching it all would test the index.
    libraries = {"PIP_NO_DEPS": "1", "PYTHONPATH": sysconfig.get_paths()["purelib"]}
    options = ["--root", str(root), "--python", sys.executable, "--wheel", str(wheel)]

    first = install(*options, environment=libraries)
    config.write_text(config.read_text().replace("site: plant", "site: mine"))
    second = install(*options, environment=libraries)
    version = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True, timeout=60, env=os.environ | libraries
    )
    checked = subprocess.run(
        [program, "check", config], capture_output=True, text=True, check=True, timeout=60, env=os.environ | libraries
    )
    config.write_text("kind: gateway\n")
    wrong = install(*options, environment=libraries, expected=1)
    kept = install("--root", str(root), "--uninstall")

    assert "fieldline-edge 0." in first
    assert "gateway.yaml stays as it is" in second
    assert version.stdout.startswith("fieldline-edge 0.")
    assert checked.stdout.startswith("gateway gateway-")
    assert "at mine" in checked.stdout
    assert "gateway.yaml:1: name: is missing" in wrong
    assert "the configuration is wrong (see above); correct it" in wrong
    assert config.read_text() == "kind: gateway\n"
    assert "stay (--purge" in kept
    assert (program.exists(), unit.exists(), config.exists()) == (False, False, True)
    install("--root", str(root), "--uninstall", "--purge")
    assert not config.exists()
