"""Rows of one device come together, and none that does not belong there."""

import numpy as np

from fieldline_cloud.agents.anomaly.learned.company import Company
from fieldline_cloud.agents.anomaly.learned.stretches import Told


def told(rows: list[int]) -> Told:
    at = np.array(rows)
    return Told(at, 10 * at, at + 0.5, 0.1 * at, np.ones(len(at), np.int64))


def test_rows_come_device_by_device_without_those_that_go_alone_or_say_nothing() -> None:
    company = Company()
    company.reserve(6)
    for row, device in enumerate([1, 1, 2, 2, 2, 3]):
        company.join(row, device)
    company.forget(3)
    values = np.array([0.5, np.nan, 2.5, 3.5, 4.5])

    met = list(company.meet(told([0, 1, 2, 3, 4]), values))

    assert met == [([0], [0], [0.5], [0.0]), ([2, 4], [20, 40], [2.5, 4.5], [0.2, 0.4])]


def test_where_nobody_goes_with_others_nothing_comes() -> None:
    company = Company()
    company.reserve(2)

    assert list(company.meet(told([0, 1]), np.ones(2))) == []


def test_room_for_more_rows_keeps_who_goes_with_whom() -> None:
    company = Company()
    company.reserve(1)
    company.join(0, 4)
    company.reserve(3)
    company.join(2, 4)

    assert list(company.meet(told([0, 1, 2]), np.ones(3))) == [([0, 2], [0, 20], [1.0, 1.0], [0.0, 0.2])]
