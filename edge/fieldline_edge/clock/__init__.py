"""A clock that may be wrong at first: noticing it, marking what it stamps, and putting the stamps right later."""
