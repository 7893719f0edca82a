"""Lives of a hub, for `spawner`: each line on stdin is the path of a hub.yaml, and each child is `fieldline hub`."""

import os
import sys
from pathlib import Path

from fieldline.cli import run
from fieldline_cloud.cli.hub import hub
from fieldline_cloud.hub import Hub
from tests.faults.spawner import serve

__all__ = ["main"]


def main() -> None:
    """Serve until stdin ends."""
    assert Hub.__module__ in sys.modules  # the reason for a spawner: it is loaded before the fork
    serve(_be_a_hub)


def _be_a_hub(line: str) -> None:
    config = Path(line)
    os.dup2(os.open(config.parent / "hub.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
    run(lambda standalone_mode: hub(config))


if __name__ == "__main__":
    main()
