"""What is read back from a snapshot is checked: a state that is damaged would spoil every score after it."""

import math
from collections.abc import Iterable

__all__ = ["finite", "finites"]


def finite(value: float) -> float:
    """The number; ValueError for NaN, infinity, and what is no number."""
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{value} is not a finite number")
    return number


def finites(values: Iterable[float], *, count: int | None = None) -> list[float]:
    """As many numbers as `count` says; ValueError as for `finite`, and if there are more or fewer."""
    numbers = [finite(value) for value in values]
    if count is not None and len(numbers) != count:
        raise ValueError(f"{len(numbers)} numbers where {count} belong")
    return numbers
