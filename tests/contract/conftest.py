"""Every test here runs with every engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.engines import ENGINES, Bench


@pytest.fixture(params=ENGINES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(ENGINES[request.param], tmp_path)
    yield bench
    bench.engine.close()
