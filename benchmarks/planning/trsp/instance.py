"""Instances of the technician routing and scheduling problem, read from and written to Pillac's text format."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path

__all__ = ["Instance", "Node", "best_known", "read", "write"]

_BRACKETS = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Node:
    """A row of the file: the depot, a technician's home (its window is the working day), or a request."""

    x: float
    y: float
    start: float
    end: float
    service: float
    skills: frozenset[int]
    tools: frozenset[int]
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """Nodes: 0 is the depot, 1 to `technicians` are homes, the others are requests. `distance`: times between them."""

    name: str
    technicians: int
    nodes: tuple[Node, ...]
    distance: tuple[tuple[float, ...], ...]

    @property
    def requests(self) -> range:
        """The nodes that are requests."""
        return range(self.technicians + 1, len(self.nodes))


def read(path: Path) -> Instance:
    """The instance in a file. ValueError, with file and line, where a row cannot be read."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    name = lines[0].strip() if lines else path.stem
    rows: list[Node] = []
    tables: dict[str, list[tuple[float, ...]]] = {}
    table, technicians, parts = "", 0, 0
    for number, line in enumerate(lines[1:], start=2):
        words = line.split()
        heading = line.strip().upper()
        try:
            if heading.startswith(("DISTANCES", "TRAVEL TIMES")):
                table = heading.split()[0]
                tables[table] = []
            elif table and re.match(r"\s*\d+\s*;", line):
                tables[table].append(tuple(float(word) for word in line.strip().strip(";").split(";")[1:]))
            elif not technicians and len(words) == 4 and all(word.isdigit() for word in words):
                technicians, parts = int(words[0]), int(words[3])
            elif technicians and words and words[0].isdigit() and "[" in line:
                rows.append(_node(line, parts))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}: {line.strip()[:80]}") from error
    if not technicians or len(rows) <= technicians:
        raise ValueError(f"{path}: no technicians and requests found; is it a technician routing instance?")
    distance = tables.get("TRAVEL") or tables.get("DISTANCES") or _euclidean(rows)
    if len(distance) != len(rows) or any(len(row) != len(rows) for row in distance):
        raise ValueError(f"{path}: the table of travel times is not {len(rows)} x {len(rows)}")
    return Instance(name, technicians, tuple(rows), tuple(tuple(row) for row in distance))


def _node(line: str, kinds: int) -> Node:
    numbers = [float(word) for word in line[: line.index("[")].split()]
    lists = [[int(word) for word in re.findall(r"-?\d+", inside)] for inside in _BRACKETS.findall(line)]
    if len(numbers) != 6 or len(lists) != 3:
        raise ValueError(f"a row has 6 numbers and 3 lists, not {len(numbers)} and {len(lists)}")
    skills, tools, parts = lists
    parts += [0] * (kinds - len(parts))
    _, x, y, start, end, service = numbers
    return Node(x, y, start, end, service, frozenset(skills), frozenset(tools), tuple(parts))


def _euclidean(rows: Sequence[Node]) -> list[tuple[float, ...]]:
    return [tuple(hypot(one.x - other.x, one.y - other.y) for other in rows) for one in rows]


def write(instance: Instance) -> str:
    """The text of an instance with Euclidean distances."""
    return "\n".join(_lines(instance)) + "\n"


def _lines(instance: Instance) -> Iterator[str]:
    depot = instance.nodes[0]
    yield from (instance.name, "", "INFO", "CREW COUNT  SKILLS    TOOLS   SPARE PARTS")
    kinds = len(depot.parts)
    yield f"   {instance.technicians}   {kinds}   {kinds}   {kinds}"
    yield from ("", "DEPOT TECHNICIANS AND REQUESTS", "ID X Y TWS TWE Serv SKILLS TOOLS SPARE PARTS")
    for at, node in enumerate(instance.nodes):
        lists = (sorted(node.skills), sorted(node.tools), list(node.parts))
        texts = " ".join("[" + ",".join(map(str, one)) + "]" for one in lists)
        yield f"{at} {node.x} {node.y} {node.start} {node.end} {node.service} {texts}"


def best_known(folder: Path) -> dict[str, float]:
    """Best known working time by instance name, of every `name=value` line in the folder's .sol files."""
    found: dict[str, float] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".sol", ".txt", ".properties", ".csv") or "best" in path.name.lower():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                match = re.fullmatch(r"\s*([\w.\-]+?)\s*=\s*([0-9]+(?:\.[0-9]+)?)\s*(?:[;,|#].*)?", line)
                if match:
                    name, value = match[1], float(match[2])
                    found[name] = min(value, found.get(name, value))
    return found
