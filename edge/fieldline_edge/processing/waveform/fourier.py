"""The discrete Fourier transform in plain Python, for lengths that are powers of two. Pure.

The decimation in time of Cooley and Tukey (Mathematics of Computation 19, 1965), with real samples packed two to a
complex number (Cooley, Lewis and Welch, Journal of Sound and Vibration 12, 1970). A gateway has no numpy: 4,096 samples
take some milliseconds here, which a capture every minute can afford.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import cos, pi, sin

__all__ = ["lines", "powers", "transform"]


@lru_cache(maxsize=32)
def _roots(count: int) -> tuple[complex, ...]:
    """The first half of the roots of unity, clockwise."""
    return tuple(complex(cos(2.0 * pi * k / count), -sin(2.0 * pi * k / count)) for k in range(count // 2))


@lru_cache(maxsize=16)
def _window(count: int) -> tuple[float, ...]:
    """Hann's, of one period."""
    return tuple(0.5 - 0.5 * cos(2.0 * pi * k / count) for k in range(count))


def transform(values: Sequence[complex]) -> list[complex]:
    """The transform of `values`, whose number is a power of two."""
    count = len(values)
    if count == 1:
        return [values[0]]
    if count == 2:
        return [values[0] + values[1], values[0] - values[1]]
    even, odd = transform(values[0::2]), transform(values[1::2])
    turned = [root * value for root, value in zip(_roots(count), odd, strict=True)]
    return [one + other for one, other in zip(even, turned, strict=True)] + [
        one - other for one, other in zip(even, turned, strict=True)
    ]


def lines(samples: Sequence[float]) -> list[complex]:
    """The lines 0 to n / 2 of n real samples; n is a power of two, 4 at least."""
    half = len(samples) // 2
    packed = transform([complex(one, other) for one, other in zip(samples[0::2], samples[1::2], strict=True)])
    packed.append(packed[0])
    back = [value.conjugate() for value in reversed(packed)]
    roots = (*_roots(len(samples)), -1.0)
    return [
        0.5 * (one + other) - 0.5j * root * (one - other) for one, other, root in zip(packed, back, roots, strict=True)
    ][: half + 1]


def powers(samples: Sequence[float]) -> list[float]:
    """Mean squares of the lines through a Hann window: together they are that of the signal, up to what leaks."""
    count = len(samples)
    window = _window(count)
    found = lines([sample * weight for sample, weight in zip(samples, window, strict=True)])
    scale = 1.0 / (count * sum(weight * weight for weight in window))
    sizes = [2.0 * scale * (line.real * line.real + line.imag * line.imag) for line in found]
    sizes[0] *= 0.5
    sizes[-1] *= 0.5
    return sizes
