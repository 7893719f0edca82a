"""Settings of a tag that may be written."""

from typing import TYPE_CHECKING

from pydantic import model_validator

from fieldline.config import Settings
from fieldline_edge.drivers.settings import Finite

if TYPE_CHECKING:
    from fieldline_edge.drivers.modbus.tag_settings import ModbusTagSettings

__all__ = ["WritableSettings", "why_not_written"]


class WritableSettings(Settings):
    """Allows writing to the tag. Without limits every value is taken that the tag's type can hold."""

    min: Finite | None = None
    """Smallest value that may be written, in the tag's own unit."""
    max: Finite | None = None
    """Largest value that may be written, in the tag's own unit."""

    @model_validator(mode="after")
    def _range_is_right(self) -> "WritableSettings":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: {self.min:g} is above max: {self.max:g}; exchange them")
        return self


def why_not_written(tag: "ModbusTagSettings") -> str:
    """Empty if values of this tag can be written, or why not and what would help."""
    kind, type_ = tag.kind.value, tag.type
    if kind not in ("holding", "coil"):
        return f"a {kind} register can only be read; the device may have a holding register for it"
    if kind == "holding" and type_.value == "bool":
        return "one bit of a register cannot be written without the others; use a coil, or the whole register"
    if type_.bits in (0, 8) or type_.is_bcd:
        return f"type {type_.value} cannot be written; use an integer or float of whole registers"
    if tag.mask is not None or tag.shift:
        return "a part of a register (mask, shift) cannot be written; use the whole register"
    return ""
