"""The files of the project, for the house rules."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protos/fieldline", "edge/fieldline_edge", "cloud/fieldline_cloud")
PYTHON = (*PACKAGES, "tests", "benchmarks", "tools")
_NOT_OURS = {"__pycache__", "node_modules", "dist", "build", "data"}


def files(*folders: str, suffix: str = "") -> Iterator[Path]:
    """Files below folders of the project (all of it: "."), as paths relative to it; caches and the like left out."""
    for folder in folders:
        for here, below, names in os.walk(ROOT / folder):
            below[:] = sorted(
                name for name in below if name not in _NOT_OURS and (name == ".ci" or not name.startswith("."))
            )
            for name in sorted(names):
                if name.endswith(suffix):
                    yield (Path(here) / name).relative_to(ROOT)


def python_files(*folders: str) -> Iterator[Path]:
    """Python files that people wrote: the generated stubs are left out."""
    return (path for path in files(*(folders or PYTHON), suffix=".py") if not path.stem.endswith(("_pb2", "_pb2_grpc")))


def text_of(path: Path) -> str:
    """The content of a file of the project."""
    return (ROOT / path).read_text(encoding="utf-8")
