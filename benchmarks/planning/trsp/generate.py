"""Made-up technician routing instances of the published structure, with places and windows in Solomon's manner."""

from math import hypot
from random import Random

from benchmarks.planning.trsp.instance import Instance, Node

__all__ = ["KINDS", "generate"]

_KINDS = 5
_HORIZON = {"R1": 230.0, "C1": 1236.0, "RC1": 240.0, "R2": 1000.0, "C2": 3390.0, "RC2": 960.0}
KINDS = tuple(_HORIZON)


def generate(kind: str, seed: int, *, requests: int = 100, technicians: int = 25) -> Instance:
    """One instance of a kind. Each request alone can be served by two technicians at least, with a depot visit."""
    random = Random(f"{kind} {seed}")
    horizon, service = _HORIZON[kind], 90.0 if kind.startswith("C") else 10.0
    centre = (40.0, 50.0)
    places = _places(kind.rstrip("12"), requests, random)
    depot = Node(*centre, 0.0, horizon, 0.0, frozenset(), frozenset(), (0,) * _KINDS)
    homes = [
        Node(
            float(random.randint(0, 80)),
            float(random.randint(0, 80)),
            0.0,
            horizon,
            0.0,
            frozenset(random.sample(range(_KINDS), random.randint(1, 3))),
            frozenset(random.sample(range(_KINDS), random.randint(1, 4))),
            tuple(random.randint(0, 6) for _ in range(_KINDS)),
        )
        for _ in range(technicians)
    ]
    share, width = ((1.0, 0.05), (0.75, 0.05), (0.5, 0.15), (1.0, 0.3), (1.0, 0.5))[seed % 5]
    rows = [_request(place, horizon, service, share, width, homes, depot, random) for place in places]
    nodes = (depot, *homes, *rows)
    distance = tuple(tuple(hypot(one.x - other.x, one.y - other.y) for other in nodes) for one in nodes)
    return Instance(f"{kind}{seed:02d}.{requests}_{technicians}-5-5-5", technicians, nodes, distance)


def _places(kind: str, count: int, random: Random) -> list[tuple[float, float]]:
    centres = [(random.uniform(10, 75), random.uniform(10, 80)) for _ in range(10)]
    places = []
    for at in range(count):
        if kind == "R" or (kind == "RC" and at % 2):
            places.append((float(random.randint(0, 70)), float(random.randint(0, 80))))
        else:
            x, y = centres[at * len(centres) // count]
            places.append((round(random.gauss(x, 3.0)), round(random.gauss(y, 3.0))))
    return places


def _request(
    place: tuple[float, float],
    horizon: float,
    service: float,
    share: float,
    width: float,
    homes: list[Node],
    depot: Node,
    random: Random,
) -> Node:
    skill = random.choice(sorted(set().union(*(home.skills for home in homes))))
    able = [home for home in homes if skill in home.skills]
    by_depot = sorted(
        (
            hypot(home.x - depot.x, home.y - depot.y) + hypot(depot.x - place[0], depot.y - place[1]),
            hypot(home.x - place[0], home.y - place[1]) + service,
        )
        for home in able
    )[:2]
    first, last = by_depot[-1][0], horizon - max(back for _, back in by_depot) - 1.0
    start, end = 0.0, last
    if random.random() < share and first < last:
        middle, half = random.uniform(first, last), max(5.0, horizon * width * random.uniform(0.5, 1.5) / 2)
        start, end = round(max(0.0, middle - half)), round(min(max(middle + half, first + 1.0), last))
    tools = frozenset(random.sample(range(_KINDS), random.choice((0, 0, 1, 1, 2))))
    parts = tuple(random.choice((0, 0, 0, 1, 2)) for _ in range(_KINDS))
    return Node(*place, float(start), float(end), service, frozenset({skill}), tools, parts)
