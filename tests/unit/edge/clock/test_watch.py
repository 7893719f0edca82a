"""What looks at the clock tell."""

from fieldline_edge.clock.watch import ClockWatch, Jumped, Synchronised

MS = 1_000_000


def test_a_clock_that_becomes_synchronised_is_told_of_once() -> None:
    watch = ClockWatch(trusted=False, anchor_ns=0, jump_ns_min=500 * MS)

    looks = [watch.look(anchor_ns=at, synchronised=sync) for at, sync in ((0, False), (0, True), (0, True))]

    assert looks == [None, Synchronised(), None]


def test_a_step_before_it_is_synchronised_is_nobodys_business() -> None:
    watch = ClockWatch(trusted=False, anchor_ns=0, jump_ns_min=500 * MS)

    assert watch.look(anchor_ns=10**18, synchronised=False) is None
    assert watch.jumps == 0


def test_a_step_of_a_synchronised_clock_is_counted_with_its_sign() -> None:
    watch = ClockWatch(trusted=True, anchor_ns=0, jump_ns_min=500 * MS)

    looks = [watch.look(anchor_ns=at, synchronised=True) for at in (2000 * MS, 2000 * MS, 1000 * MS)]

    assert looks == [Jumped(2000 * MS), None, Jumped(-1000 * MS)]
    assert watch.jumps == 2


def test_slewing_is_no_step() -> None:
    watch = ClockWatch(trusted=True, anchor_ns=0, jump_ns_min=500 * MS)

    assert all(watch.look(anchor_ns=at * MS, synchronised=True) is None for at in range(0, 10_000, 400))


def test_a_clock_that_loses_its_time_service_stays_trusted() -> None:
    watch = ClockWatch(trusted=True, anchor_ns=0, jump_ns_min=500 * MS)

    watch.look(anchor_ns=0, synchronised=False)

    assert watch.trusted
