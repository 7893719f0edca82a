"""Who may import whom, and what an edge process must not carry."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.tree import ROOT, python_files


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_imports_go_down_only() -> None:
    program = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([program, "--no-cache"], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "word", ["numpy", "pandas", "fieldline_cloud", "grpc_health.v1", "grpc_reflection.v1alpha", "rich"]
)
def test_no_edge_module_brings(word: str) -> None:
    modules = [
        ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__")
        for path in python_files("edge/fieldline_edge")
        if path.name != "__main__.py"
    ]

    loaded = python(f"import sys, {', '.join(modules)}; print({word!r} in sys.modules)")

    assert loaded == "False"


def test_the_sdk_needs_nothing_but_what_pip_install_fieldline_brings() -> None:
    code = "import fieldline, sys; [getattr(fieldline, name) for name in fieldline.__all__]; "
    code += "others = ('yaml', 'pydantic', 'typer', 'rich', 'prometheus_client', 'numpy', 'opentelemetry'); "
    code += "print(*(name for name in others if name in sys.modules))"

    assert python(code) == ""
