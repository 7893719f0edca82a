"""Whether a leap of a value looks like another unit, not like another state of the machine. Pure."""

from typing import Final

__all__ = ["unit_change"]

_FACTORS: Final = {
    1000.0: "kilo, as bar to mbar",
    100.0: "as a fraction to percent, or bar to kPa",
    60.0: "as minutes to seconds",
    3.6: "as m/s to km/h, or l/s to m3/h",
    25.4: "as in to mm",
    14.5038: "as bar to psi",
    6.89476: "as psi to kPa",
}
_WITHIN: Final = 0.01


def unit_change(before: float, after: float) -> str:
    """Words for the alert if `after` is `before` in another unit, give or take 1 %; empty if nothing fits.

    It is a hint to a person and no proof, so nothing is decided by it.
    """
    if before == 0.0 or after == 0.0:
        return ""
    ratio = after / before
    for factor, example in _FACTORS.items():
        if _is(ratio, factor):
            return f"just before it was {before:.6g}, and {factor:g} times that looks like another unit ({example})"
        if _is(ratio, 1.0 / factor):
            return f"just before it was {before:.6g}, and 1/{factor:g} of that looks like another unit ({example})"
    for name, there in (
        ("degC to degF", before * 1.8 + 32.0),
        ("degF to degC", (before - 32.0) / 1.8),
        ("degC to K", before + 273.15),
        ("K to degC", before - 273.15),
    ):
        # The offset makes near misses of small values likely, so these must fit more closely.
        if abs(after - there) <= _WITHIN * 0.5 * max(abs(there), 20.0):
            return f"just before it was {before:.6g}, which looks like another unit ({name})"
    return ""


def _is(ratio: float, factor: float) -> bool:
    return abs(ratio - factor) <= _WITHIN * factor
