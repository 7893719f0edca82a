"""How values become integers: the modes of the wire format, and the bit patterns of floats as ordered integers.

docs/reference/wire-format.md describes every mode. Both the encoder and the decoder stand on this module.
"""

from array import array
from typing import Final

__all__ = [
    "ARRAY_CODES",
    "BOOLEAN",
    "DECIMAL",
    "DECIMAL_FLOAT32",
    "DECIMAL_ULP",
    "EXACT_MAX",
    "EXPONENT_MAX",
    "FLOAT32",
    "FLOAT64",
    "INT64",
    "INT64_MAX",
    "INT64_MIN",
    "MODE_STEP",
    "NO_VALUE",
    "POWERS",
    "STRING",
    "TIME_EXPONENTS",
    "bits_of_float64",
    "float32_of_ordered",
    "float64_of_ordered",
    "ordered_float32",
    "ordered_float64",
    "wrap",
]

DECIMAL: Final = 0  # x / 10^e
DECIMAL_ULP: Final = 1  # x / 10^e, moved by a few units in the last place
DECIMAL_FLOAT32: Final = 2  # float32(x / 10^e)
FLOAT32: Final = 3  # bits of a float32, ordered
FLOAT64: Final = 4  # bits of a float64, ordered
INT64: Final = 5
BOOLEAN: Final = 6
STRING: Final = 7  # index into the table of strings

MODE_STEP: Final = 32  # enc = mode * 32 + exponent
EXPONENT_MAX: Final = 22  # 10^22 is the largest power of ten that a float64 holds exactly
EXACT_MAX: Final = 1 << 53  # integers below this are exact as float64
POWERS: Final = tuple(float(10**exponent) for exponent in range(EXPONENT_MAX + 1))
TIME_EXPONENTS: Final = (9, 6, 3, 0)
NO_VALUE: Final = 256  # added to a quality code where the reading has no value

ARRAY_CODES: Final = "BBHIIQQQQ"  # by bytes of width: the array type that holds them

INT64_MAX: Final = (1 << 63) - 1
INT64_MIN: Final = -(1 << 63)
_WORD: Final = 1 << 64
_ORDER_32: Final = (1 << 31) - 1


def wrap(number: int) -> int:
    """`number` modulo 2^64, as a signed 64-bit integer."""
    return ((number - INT64_MIN) & (_WORD - 1)) + INT64_MIN


def bits_of_float64(values: list[float]) -> bytes:
    """The bit patterns of `values`: what two lists must share to be the same in every bit."""
    return array("d", values).tobytes()


def ordered_float64(values: list[float]) -> list[int]:
    """Bit patterns as signed integers that sort like the floats: neighbours differ by one."""
    bits: list[int] = array("q", array("d", values).tobytes()).tolist()
    if min(bits, default=0) >= 0:
        return bits
    return [b if b >= 0 else b ^ INT64_MAX for b in bits]


def ordered_float32(values: list[float]) -> list[int]:
    """The same for the float32 nearest to each value."""
    bits: list[int] = array("i", array("f", values).tobytes()).tolist()
    if min(bits, default=0) >= 0:
        return bits
    return [b if b >= 0 else b ^ _ORDER_32 for b in bits]


def float64_of_ordered(ordered: list[int]) -> list[float]:
    """Undo ordered_float64; every integer must fit 64 bits."""
    bits = [b if b >= 0 else b ^ INT64_MAX for b in ordered]
    return array("d", array("q", bits).tobytes()).tolist()


def float32_of_ordered(ordered: list[int]) -> list[float]:
    """Undo ordered_float32; every integer must fit 32 bits."""
    bits = [b if b >= 0 else b ^ _ORDER_32 for b in ordered]
    return array("f", array("i", bits).tobytes()).tolist()
