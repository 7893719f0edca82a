from dataclasses import replace
from itertools import count, permutations
from pathlib import Path
from random import Random

import pytest

from benchmarks.planning.trsp.check import working_time
from benchmarks.planning.trsp.combine import Collector, combine, merged
from benchmarks.planning.trsp.generate import KINDS, generate
from benchmarks.planning.trsp.instance import Instance, best_known, read, write
from benchmarks.planning.trsp.routing import TechnicianRouting
from benchmarks.planning.trsp.solve import solve
from fieldline_cloud.planning.search.anneal import anneal
from fieldline_cloud.planning.search.cooling import Cooling
from fieldline_cloud.planning.search.routing import NOWHERE
from fieldline_cloud.planning.search.state import State, Tours

FILE = """C101.100_25-5-5-5

INFO
CREW COUNT  SKILLS    TOOLS   SPARE PARTS
   1   2   2   3

DEPOT TECHNICIANS AND REQUESTS
ID X Y TWS TWE Serv SKILLS TOOLS SPARE PARTS
0 40 50 0 1236 0 [] [] []
1 40 50 0 1236 0 [0, 1] [0] [2,0,1]
2 43 54 10 900.5 90 [1] [] [0,0,1]
"""
DISTANCES = "\nDISTANCES\n0;0;0;9\n1;0;0;9\n2;9;9;0\n\nTRAVEL TIMES\n0;0;0;7\n1;0;0;7\n2;7;7;0\n"


def test_an_instance_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "C101.txt").write_text(FILE)

    found = read(tmp_path / "C101.txt")

    assert (found.name, found.technicians, list(found.requests)) == ("C101.100_25-5-5-5", 1, [2])
    assert found.nodes[1].skills == {0, 1}
    assert found.nodes[0].parts == (0, 0, 0)
    assert (found.nodes[2].start, found.nodes[2].end, found.nodes[2].service) == (10, 900.5, 90)
    assert found.distance[1][2] == 5.0


def test_travel_times_of_the_file_go_before_coordinates(tmp_path: Path) -> None:
    (tmp_path / "C101.txt").write_text(FILE + DISTANCES)

    assert read(tmp_path / "C101.txt").distance[1][2] == 7.0


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text(FILE + "3 1 2 0 9 [0] [] []\n")

    with pytest.raises(ValueError, match=r"bad\.txt, line 12: a row has 6 numbers and 3 lists"):
        read(tmp_path / "bad.txt")


def test_a_written_instance_reads_the_same(tmp_path: Path) -> None:
    made = generate("RC1", 2, requests=12, technicians=4)
    (tmp_path / "made.txt").write_text(write(made))

    assert read(tmp_path / "made.txt").nodes == made.nodes


def test_best_known_values_are_found_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "best.sol").write_text(
        "# July 2012\nC101.100_25-5-5-5=10770.6266\nR101.100_25-5-5-5=3134.9;<1,26|...>\n"
    )

    assert best_known(tmp_path) == {"C101.100_25-5-5-5": 10770.6266, "R101.100_25-5-5-5": 3134.9}


@pytest.mark.parametrize("kind", KINDS)
def test_a_tour_takes_as_long_as_the_judge_says(kind: str) -> None:
    random = Random(kind)
    instance = generate(kind, 3, requests=40, technicians=6)
    routing = TechnicianRouting(instance)
    first = instance.technicians + 1
    checked = 0
    for _ in range(300):
        route = random.randrange(routing.routes)
        able = [job for job in range(40) if route in routing.routes_of[job]]
        order = tuple(
            sorted(
                random.sample(able, min(len(able), random.randint(1, 5))),
                key=lambda job: instance.nodes[first + job].end,
            )
        )
        tour = routing.tour(route, order)
        try:
            expected = _alone(instance, route, [first + job for job in order])
        except ValueError:
            assert tour.cost == float("inf")
            continue
        assert tour.cost == pytest.approx(expected)
        checked += 1
    assert checked > 20


def _alone(instance: Instance, route: int, nodes: list[int]) -> float:
    """What the judge says of a tour if there were no other requests."""
    keep = (*range(instance.technicians + 1), *nodes)
    small = replace(
        instance,
        nodes=tuple(instance.nodes[node] for node in keep),
        distance=tuple(tuple(instance.distance[one][other] for other in keep) for one in keep),
    )
    return working_time(small, {route + 1: list(small.requests)})


@pytest.mark.parametrize("kind", KINDS)
def test_an_insertion_costs_no_less_than_the_tour_it_makes_and_finds_a_place_if_there_is_one(kind: str) -> None:
    random = Random(kind)
    instance = generate(kind, 3, requests=40, technicians=6)
    routing = TechnicianRouting(instance)
    for _ in range(150):
        route = random.randrange(routing.routes)
        able = [job for job in range(40) if route in routing.routes_of[job]]
        picked = random.sample(able, min(len(able), random.randint(1, 4)))
        tours = [routing.tour(route, order) for order in permutations(picked[1:])]
        tour = min(tours, key=lambda one: one.cost)
        if tour.cost == float("inf"):
            continue
        found = routing.insertion(tour, picked[0])
        whole = [routing.tour(route, (*tour.order[:at], picked[0], *tour.order[at:])) for at in range(len(picked))]
        if found == NOWHERE:
            assert all(one.cost == float("inf") for one in whole)
        else:
            cost, at = found
            assert whole[at].cost <= tour.cost + cost + 1e-6
            assert whole[at].cost < float("inf")


def test_the_search_serves_all_requests_in_tours_that_the_judge_accepts() -> None:
    instance = generate("R2", 3, requests=25, technicians=6)
    routing = TechnicianRouting(instance)
    steps = count()
    tours = Tours(routing)

    best = anneal(
        State.of(tours, [()] * routing.routes),
        tours,
        schedule=Cooling(lambda: next(steps) / 400),
        random=Random(1),
        hot=30.0,
    )

    assert best.left_out == []
    nodes = {tour.route + 1: [instance.technicians + 1 + job for job in tour.order] for tour in best.tours}
    assert working_time(instance, nodes) == pytest.approx(best.cost)


def test_the_judge_refuses_a_request_that_is_served_twice_or_late_or_without_the_skill() -> None:
    instance = generate("R1", 3, requests=5, technicians=3)
    unable = next(
        (technician, node)
        for node in instance.requests
        for technician in range(1, 4)
        if not instance.nodes[node].skills <= instance.nodes[technician].skills
    )

    with pytest.raises(ValueError, match="each request is served once"):
        working_time(instance, {1: [4, 4]})
    with pytest.raises(ValueError, match="has no skill"):
        working_time(instance, {unable[0]: list(instance.requests)})


def test_the_best_tours_of_several_solutions_are_put_together() -> None:
    pool = {
        (0, frozenset({0, 1})): (5.0, (0, 1)),
        (0, frozenset({0})): (3.0, (0,)),
        (1, frozenset({2})): (9.0, (2,)),
        (1, frozenset({1, 2})): (4.0, (2, 1)),
        (0, frozenset({2})): (0.5, (2,)),
    }

    assert combine(pool, jobs=3, routes=2, limit_s=10.0) == [(0,), (2, 1)]


def test_tours_that_leave_a_job_out_make_no_solution() -> None:
    assert combine({(0, frozenset({0})): (1.0, (0,))}, jobs=2, routes=1, limit_s=10.0) is None
    assert combine({}, jobs=2, routes=1, limit_s=10.0) is None


def test_a_collector_keeps_the_cheapest_order_of_the_same_jobs_and_the_newest_tours() -> None:
    one, other = Collector(tours_max=2), Collector()
    one.add((0, frozenset({0})), (1.0, (0,)))
    one.add((0, frozenset({1, 2})), (5.0, (1, 2)))
    one.add((0, frozenset({1, 2})), (4.0, (2, 1)))
    one.add((0, frozenset({1, 2})), (6.0, (1, 2)))
    one.add((1, frozenset({0})), (2.0, (0,)))
    other.add((0, frozenset({1, 2})), (3.0, (1, 2)))

    assert dict(one.pool) == {(0, frozenset({1, 2})): (4.0, (2, 1)), (1, frozenset({0})): (2.0, (0,))}
    assert merged([one.pool, other.pool])[0, frozenset({1, 2})] == (3.0, (1, 2))


def test_two_cores_solve_an_instance_in_tours_that_the_judge_accepts() -> None:
    instance = generate("RC2", 3, requests=20, technicians=5)

    solved = solve(instance, budget_s=1.0, seed=1, cores=2, pool=None)

    assert solved.served == 20
    assert solved.working_time == pytest.approx(working_time(instance, solved.tours))
