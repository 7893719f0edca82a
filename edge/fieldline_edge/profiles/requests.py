"""Which requests read a whole profile. Pure."""

from collections.abc import Sequence

from fieldline_edge.drivers.modbus.plan import Block, Limits, Span, plan
from fieldline_edge.profiles.settings import ProfileSettings

__all__ = ["requests_of", "spans_of"]


def spans_of(profile: ProfileSettings) -> list[Span]:
    """The addresses of each tag, in the order of the tags."""
    return [Span(tag.kind, tag.address, tag.width, tag.read_alone) for tag in profile.tags]


def requests_of(profile: ProfileSettings) -> Sequence[Block]:
    """The requests of a device that takes all of a profile's tags."""
    limits = Limits(registers_max=profile.registers_per_request_max, gap_max=profile.gap_registers_max)
    return plan(spans_of(profile), limits)
