"""By which clock an agent judges."""

import time

from fieldline_cloud.agents.clock import clock_of


def test_an_agent_goes_by_the_wall_unless_it_is_told_otherwise() -> None:
    assert clock_of("") is time.time_ns


def test_an_agent_of_a_simulated_plant_goes_by_the_plant() -> None:
    wall_ns = iter((1_000, 1_010))
    now_ns = clock_of("1000,500,60", wall_ns=lambda: next(wall_ns))

    assert now_ns() == 500
    assert now_ns() == 1_100
