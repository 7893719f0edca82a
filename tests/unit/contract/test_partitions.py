"""Partitions come out the same in every language and run: vectors written once, and a second implementation."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline import partition, partition_topic
from fieldline.partitions import PARTITIONS_MAX

VECTORS = Path(__file__).parent / "vectors/partitions/sha256.json"
PAGE = Path(__file__).parents[3] / "docs/reference/topics.md"
_TEXTS = st.text(st.characters(codec="utf-8"))
ROWS = json.loads(VECTORS.read_text(encoding="utf-8"))

# Written from docs/reference/topics.md alone.
JAVASCRIPT = """
const { createHash } = require("node:crypto");
const rows = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const partition = (topic, key, n) =>
  Number(createHash("sha256").update(topic, "utf8").update(Buffer.from([0])).update(key, "utf8").digest()
    .readBigUInt64BE(0) % BigInt(n));
console.log(JSON.stringify(rows.map((row) => partition(row.topic, row.key, row.partitions))));
"""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['topic']}-{row['key'][:9]}-{row['partitions']}")
def test_a_key_is_where_the_vectors_say(row: dict[str, object]) -> None:
    assert partition(str(row["topic"]), str(row["key"]), int(str(row["partitions"]))) == row["partition"]


def test_node_agrees_with_every_vector() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    told = subprocess.run([node, "-e", JAVASCRIPT], input=VECTORS.read_bytes(), capture_output=True, check=True)
    assert json.loads(told.stdout) == [row["partition"] for row in ROWS]


def test_the_page_shows_vectors_that_hold() -> None:
    rows = re.findall(r"^\| `(.+?)` \| `(.*?)` \| (\d+) \| (\d+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 5
    for topic, key, partitions, number in rows:
        assert partition(topic, key, int(partitions)) == int(number)


def test_another_run_with_another_hash_seed_says_the_same() -> None:
    code = "from fieldline import partition; print(partition('a/b', 'c', 1000))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{partition('a/b', 'c', 1000)}\n"}


@given(_TEXTS, _TEXTS, st.integers(1, PARTITIONS_MAX))
def test_every_key_has_a_partition_and_that_a_topic(topic: str, key: str, partitions: int) -> None:
    number = partition(topic, key, partitions)
    assert 0 <= number < partitions
    assert partition_topic(topic, key, partitions) == f"{topic}/{number}"


def test_keys_spread_evenly() -> None:
    counts = Counter(partition("jobs", f"machine-{n}", 16) for n in range(16_000))
    assert len(counts) == 16
    assert max(counts.values()) < 1_150


@pytest.mark.parametrize("partitions", [0, -1, PARTITIONS_MAX + 1])
def test_a_number_of_partitions_out_of_bounds_is_refused(partitions: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 1024, not {partitions}"):
        partition("a", "b", partitions)
