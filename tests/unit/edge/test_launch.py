"""Settings that are checked in one process and used in another arrive as they were."""

from pathlib import Path

import pytest

from fieldline.config import load
from fieldline.errors import ConfigError
from fieldline_edge.launch import load_apart
from fieldline_edge.settings import GatewaySettings

FILE = """
kind: gateway
name: g
site: s
hub: 127.0.0.1:1
hub_token: ${NO_SUCH_VARIABLE:-secret}
spool: {path: spool.db}
devices:
  - {driver: modbus, name: d, area: a, host: 127.0.0.1, tags: [{name: t, address: 0, type: %s}]}
  - {driver: modbus, name: e, area: a, host: 127.0.0.1, tags: [{name: t, address: 0, type: %s}]}
"""


def written(folder: Path, first: str, second: str) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(FILE % (first, second))
    return file


async def test_a_file_checked_apart_gives_the_settings_it_gives_here(tmp_path: Path) -> None:
    file = written(tmp_path, "int16", "float32")

    apart = await load_apart(file)

    assert apart == load(file, GatewaySettings)
    assert apart.hub_token is not None
    assert apart.hub_token.get_secret_value() == "secret"


async def test_what_is_wrong_with_a_file_checked_apart_is_told_problem_by_problem(tmp_path: Path) -> None:
    file = written(tmp_path, "int17", "int18")

    with pytest.raises(ConfigError) as apart:
        await load_apart(file)

    with pytest.raises(ConfigError) as here:
        load(file, GatewaySettings)
    assert apart.value.problems == here.value.problems
    assert len(apart.value.problems) == 2
