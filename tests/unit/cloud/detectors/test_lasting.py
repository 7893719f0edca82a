"""When a state has lasted."""

import numpy as np

from fieldline_cloud.detectors.lasting import Lasting


def test_a_stretch_of_loud_blocks_is_handed_out_as_a_sample_when_it_is_long_enough() -> None:
    lasting = Lasting(rows_max=100)
    blocks = np.arange(200.0).reshape(4, 50, 1)

    handed_out = [lasting.note(block, quiet=False) for block in blocks]

    assert [each is not None for each in handed_out] == [False, True, False, True]
    assert handed_out[1] is not None
    assert handed_out[1][:, 0].tolist() == np.arange(0.0, 100.0, 5.0).tolist()


def test_one_quiet_block_begins_it_anew() -> None:
    lasting = Lasting(rows_max=100)
    block = np.zeros((50, 2))

    handed_out = [lasting.note(block, quiet=quiet) for quiet in (False, True, False)]

    assert handed_out == [None, None, None]
    assert len(lasting.kept) == 1


def test_it_goes_on_with_what_was_kept() -> None:
    before, after = Lasting(rows_max=100), Lasting(rows_max=100)
    before.note(np.ones((50, 2)), quiet=False)

    after.restore(before.kept)

    assert after.note(np.ones((50, 2)), quiet=False) is not None
