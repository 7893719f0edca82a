"""Random numbers of sensors: a function of who asks and of the step, and of nothing else. Pure.

So a sensor costs nothing while nobody looks, and says the same however often somebody does.
"""

from hashlib import blake2b
from statistics import NormalDist
from struct import Struct

__all__ = ["Dice"]

_BITS = 14
_MASK = (1 << _BITS) - 1
# The middle of each of 16,384 equal shares of the normal distribution: all there is within 4 standard deviations.
_NORMAL = tuple(NormalDist().inv_cdf((number + 0.5) / (1 << _BITS)) for number in range(1 << _BITS))
_PER_DIGEST = 32
_ROUND = Struct("<QQ")


class Dice:
    """Normally distributed numbers with standard deviation 1, for `count` sensors of one owner at each step."""

    __slots__ = ("_key", "_rounds")

    def __init__(self, owner: str, count: int) -> None:
        self._key = blake2b(owner.encode(), digest_size=32).digest()
        sizes = [min(count - first, _PER_DIGEST) for first in range(0, count, _PER_DIGEST)]
        self._rounds = [(number, Struct(f"<{size}H")) for number, size in enumerate(sizes)]

    def throw(self, step: int) -> list[float]:
        """The numbers of `step`."""
        found: list[float] = []
        for number, shorts in self._rounds:
            digest = blake2b(_ROUND.pack(step, number), key=self._key).digest()
            found += [_NORMAL[each & _MASK] for each in shorts.unpack_from(digest)]
        return found
