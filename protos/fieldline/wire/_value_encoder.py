"""Floats of one tag as integers: find the mode that says them exactly in the fewest bits.

A search costs several passes over the values. It is done once per tag; afterwards the mode found is handed in as a
hint and only verified, bit for bit, in one pass.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from math import isfinite
from operator import mul, sub, truediv
from typing import NamedTuple

from fieldline.wire._column_encoder import estimate_bits
from fieldline.wire._modes import (
    DECIMAL,
    DECIMAL_FLOAT32,
    DECIMAL_ULP,
    EXACT_MAX,
    EXPONENT_MAX,
    FLOAT32,
    FLOAT64,
    MODE_STEP,
    POWERS,
    bits_of_float64,
    ordered_float32,
    ordered_float64,
)

__all__ = ["Encoded", "Hint", "encode_as", "encode_floats"]

_SAMPLE = 48  # values looked at for the number of decimals before all are verified
_DIGITS_FLOAT64 = 15  # digits that every float64 keeps, so that 0.1 + 0.2 shows its one decimal
_DIGITS_FLOAT32 = (7, 8, 9)
_USES_MAX = 16  # batches that a wide mode serves before a narrower one is looked for again
_ULPS_EXPECTED = 127  # one byte: a hint is doubted where it gives more, unless it did so when it was found
_SHORT_EXPONENT = 6  # decimals that no other mode says in fewer bits


class Hint(NamedTuple):
    """What served the last values of a tag. Wide modes are doubted after some uses, narrow ones never."""

    enc: int
    uses: int = 0
    ulps_max: int = _ULPS_EXPECTED

    @property
    def is_wide(self) -> bool:
        """Whether a narrower encoding may well fit the values to come."""
        return self.enc >= FLOAT32 * MODE_STEP or self.ulps_max > _ULPS_EXPECTED


class Encoded(NamedTuple):
    """Values as integers. `enc` is mode * 32 + exponent; `ulps` belongs to DECIMAL_ULP alone."""

    enc: int
    integers: list[int]
    ulps: list[int] | None = None


def encode_floats(values: list[float], hint: Hint | None) -> tuple[Encoded, Hint | None]:
    """`values` (one at least) as integers, and the hint for the next values of the same tag."""
    if hint is not None and hint.uses < _USES_MAX:
        encoded = encode_as(values, hint.enc)
        if encoded is not None and _ulps_span(encoded) <= hint.ulps_max:
            return encoded, hint._replace(uses=hint.uses + 1) if hint.is_wide else hint
    encoded = _search(values)
    if encoded.enc == FLOAT64 * MODE_STEP and not all(map(isfinite, values)):
        return encoded, hint  # a NaN says nothing about the values that will follow it
    return encoded, Hint(encoded.enc, ulps_max=max(_ULPS_EXPECTED, 2 * _ulps_span(encoded)))


def _ulps_span(encoded: Encoded) -> int:
    """The furthest that any value is from its decimal."""
    return max(max(encoded.ulps), -min(encoded.ulps)) if encoded.ulps else 0


def _search(values: list[float]) -> Encoded:
    best = Encoded(FLOAT64 * MODE_STEP, ordered_float64(values))
    best_bits = estimate_bits(best.integers)
    for enc in _candidates(values):
        encoded = encode_as(values, enc)
        if encoded is None:
            continue
        bits = estimate_bits(encoded.integers) + (estimate_bits(encoded.ulps) if encoded.ulps else 0.0)
        if bits < best_bits:
            best, best_bits = encoded, bits
        if encoded.enc <= _SHORT_EXPONENT:
            break  # few decimals and exact: nothing below is shorter
    return best


def _candidates(values: list[float]) -> Iterator[int]:
    """Encodings worth trying, the shortest first."""
    finite = [value for value in values if isfinite(value)]
    if len(finite) == len(values):
        sample = finite[:: max(1, len(finite) // _SAMPLE)]
        exponent = max(map(_decimals, map(repr, sample)))
        if exponent <= EXPONENT_MAX:
            yield DECIMAL * MODE_STEP + exponent
            everywhere = max(map(_decimals, map(repr, finite)))
            if exponent < everywhere <= EXPONENT_MAX:
                yield DECIMAL * MODE_STEP + everywhere
        if _are_float32(values):
            for exponent in _exponents(sample, _DIGITS_FLOAT32):
                yield DECIMAL_FLOAT32 * MODE_STEP + exponent
        for exponent in _exponents(sample, (_DIGITS_FLOAT64,)):
            yield DECIMAL_ULP * MODE_STEP + exponent
    yield FLOAT32 * MODE_STEP


def _exponents(sample: list[float], digits: tuple[int, ...]) -> list[int]:
    """Decimal exponents that fit most of the sample, or all of it, when written with so many digits."""
    found: list[int] = []
    for count in digits:
        places = Counter(_decimals(f"{value:.{count}g}") for value in sample)
        found += (max(places), places.most_common(1)[0][0])
    return [exponent for exponent in dict.fromkeys(found) if exponent <= EXPONENT_MAX]


def _decimals(text: str) -> int:
    """Digits after the point that a number needs, as written by repr or by format."""
    mantissa, _, exponent = text.partition("e")
    fraction = mantissa.partition(".")[2]
    return max((0 if fraction == "0" else len(fraction)) - int(exponent or 0), 0)


def encode_as(values: list[float], enc: int) -> Encoded | None:
    """`values` in the given encoding, or None where it cannot say every bit of them."""
    mode, exponent = divmod(enc, MODE_STEP)
    if mode == FLOAT64:
        return Encoded(enc, ordered_float64(values))
    if mode == FLOAT32:
        return Encoded(enc, ordered_float32(values)) if _are_float32(values) else None
    scale = POWERS[exponent]
    try:
        integers = list(map(round, map(mul, values, repeat(scale))))
    except (ValueError, OverflowError):  # NaN or infinite
        return None
    if max(integers) >= EXACT_MAX or min(integers) <= -EXACT_MAX:
        return None
    near = list(map(truediv, integers, repeat(scale)))
    if mode == DECIMAL_FLOAT32:
        near = array("f", near).tolist()
    if bits_of_float64(near) == bits_of_float64(values):
        return Encoded(exponent if mode == DECIMAL_ULP else enc, integers)
    if mode == DECIMAL_FLOAT32:
        return None
    # A hint for exact decimals survives a batch whose last places were worn by arithmetic.
    enc = DECIMAL_ULP * MODE_STEP + exponent
    return Encoded(enc, integers, list(map(sub, ordered_float64(values), ordered_float64(near))))


def _are_float32(values: list[float]) -> bool:
    """Whether every value is a float32 in all its bits."""
    return bits_of_float64(array("f", values).tolist()) == bits_of_float64(values)
