"""How healthy a gateway is."""

from dataclasses import replace

import pytest

from fieldline_edge.service.health import Grade, Signs, judge, page

WELL = Signs(
    spool_failing="",
    spool_held_readings=0,
    backlog_frames=0,
    loop_silent_s=0.5,
    hub_connected=True,
    hub_error="",
    drivers=2,
    driver_troubles=(),
    devices=3,
    devices_down=(),
    clock_trusted=True,
    clock_synchronised=True,
    config_problems=(),
)


def test_a_gateway_that_is_well_says_so_of_every_part() -> None:
    answer = page(judge(WELL))

    assert (answer["ok"], answer["state"]) == (True, "ok")
    assert list(answer["parts"]) == ["spool", "loop", "drivers", "devices", "hub", "clock", "config"]
    assert {part["state"] for part in answer["parts"].values()} == {"ok"}


@pytest.mark.parametrize(
    ("signs", "part", "grade"),
    [
        (replace(WELL, hub_connected=False, hub_error="refused"), "hub", Grade.DEGRADED),
        (replace(WELL, devices_down=["hall/a"]), "devices", Grade.DEGRADED),
        (replace(WELL, driver_troubles=["driver of a: it fell"]), "drivers", Grade.DEGRADED),
        (replace(WELL, driver_troubles=["a", "b"]), "drivers", Grade.FAILED),
        (replace(WELL, clock_trusted=False), "clock", Grade.DEGRADED),
        (replace(WELL, clock_synchronised=False), "clock", Grade.OK),
        (replace(WELL, config_problems=["g.yaml:3: name: is missing"]), "config", Grade.DEGRADED),
        (replace(WELL, spool_failing="disk is full"), "spool", Grade.FAILED),
        (replace(WELL, loop_silent_s=11), "loop", Grade.FAILED),
    ],
)
def test_each_trouble_is_its_parts_and_only_a_failed_part_makes_it_unhealthy(
    signs: Signs, part: str, grade: Grade
) -> None:
    answer = page(judge(signs))

    assert answer["parts"][part]["state"] == grade.name.lower()
    assert answer["ok"] is (grade is not Grade.FAILED)
    assert [name for name, each in answer["parts"].items() if each["state"] != "ok"] == [part] * (grade > Grade.OK)


def test_the_reason_names_what_is_wrong() -> None:
    parts = page(judge(replace(WELL, spool_failing="disk is full", spool_held_readings=7)))["parts"]

    assert parts["spool"]["reason"] == "cannot be written: disk is full; 7 readings wait in memory"
