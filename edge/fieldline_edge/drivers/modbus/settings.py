"""Settings of a Modbus device, checked before anything is asked of it."""

from collections import deque
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator, model_validator

from fieldline.config import Settings
from fieldline_edge.drivers.modbus.line_settings import LineSettings
from fieldline_edge.drivers.modbus.tag_settings import (
    ADDRESS_MAX,
    ModbusTagSettings,
    Order,
    RegisterKind,
    RegisterType,
)
from fieldline_edge.drivers.settings import DeviceSettings, Name, check_unique_names

__all__ = ["GroupSettings", "ModbusDeviceSettings", "ModbusTagSettings", "Order", "RegisterKind", "RegisterType"]

REGISTERS_PER_REQUEST_MAX = 125
BITS_PER_REQUEST_MAX = 2000
PERIOD_MS_MIN = 20
GROUPS_MAX = 32
Address = Annotated[int, Field(ge=0, le=ADDRESS_MAX)]


class GroupSettings(Settings):
    """Tags of a device that are read together, in a rhythm of their own."""

    period_ms: int = Field(ge=0, le=86_400_000)
    """How often these tags are read, in milliseconds, aligned to the clock; 0: once, whenever the device is found."""
    phase_ms: int | None = Field(default=None, ge=0, lt=86_400_000)
    """When in the period they are read; left out: a moment taken from the names, which spreads the load."""

    @model_validator(mode="after")
    def _is_a_rhythm(self) -> "GroupSettings":
        check_rhythm(self.period_ms, self.phase_ms)
        return self


def check_rhythm(period_ms: int, phase_ms: int | None) -> None:
    """Raise ValueError for a period too short to keep, or a phase beyond it."""
    if 0 < period_ms < PERIOD_MS_MIN:
        raise ValueError(
            f"period_ms: {period_ms} is less than {PERIOD_MS_MIN}; write {PERIOD_MS_MIN} or more, or 0 for once"
        )
    if phase_ms is not None and phase_ms >= max(1, period_ms):
        raise ValueError(f"phase_ms: {phase_ms} is not within the period of {period_ms} ms; write less than that")


def _for_editors(schema: dict[str, Any]) -> None:
    """With a profile, `tags` may be left out, name a tag, or change one; and `derived` may change one."""
    schema["required"].remove("tags")
    own: dict[str, Any] = {"anyOf": [{"required": ["address"]}, {"required": ["type"]}]}
    changed = {"type": "object", "required": ["name"], "not": own}
    tags = schema["properties"]["tags"]
    tags["items"] = {"anyOf": [tags["items"], {"type": "string"}, changed]}
    derived = schema["properties"]["derived"]
    changed = {"type": "object", "required": ["name"], "not": {"required": ["expression"]}}
    derived["items"] = {"anyOf": [derived["items"], changed]}


class ModbusDeviceSettings(LineSettings, DeviceSettings):
    """One unit on a Modbus line."""

    model_config = ConfigDict(json_schema_extra=_for_editors)

    driver: Literal["modbus"]
    """Says that this is a Modbus device."""
    profile: str | None = None
    """Name of a device profile, or path of one's own, that brings the tags; `tags` then chooses and changes them."""
    period_ms: int = Field(default=1000, ge=PERIOD_MS_MIN, le=86_400_000)
    """How often the device is read, in milliseconds, aligned to the clock."""
    phase_ms: int | None = Field(default=None, ge=0, lt=86_400_000)
    """When in the period it is read; left out: a moment taken from its name, which spreads devices over the period."""
    groups: dict[Name, GroupSettings] = Field(default_factory=dict, max_length=GROUPS_MAX)
    """Poll groups with periods of their own, by name; a tag joins one with its key `group`."""
    order: Order = Order.ABCD
    """Byte order of the tags that name none: ABCD, CDAB, BADC or DCBA."""
    registers_per_request_max: int = Field(default=REGISTERS_PER_REQUEST_MAX, ge=1, le=REGISTERS_PER_REQUEST_MAX)
    """Most registers one request may ask for."""
    bits_per_request_max: int = Field(default=BITS_PER_REQUEST_MAX, ge=1, le=BITS_PER_REQUEST_MAX)
    """Most coils or discrete inputs one request may ask for."""
    gap_registers_max: int = Field(default=16, ge=0, le=REGISTERS_PER_REQUEST_MAX)
    """How many registers that nobody asked for one request may read over, to save a second request; 16 times as many
    coils."""
    holes: tuple[tuple[Address, Address], ...] = Field(default=(), max_length=1000)
    """Addresses that no request may touch, in any of the four kinds: pairs of first and last, like [[100, 120]]."""
    tags: Annotated[tuple[ModbusTagSettings, ...], Field(min_length=1)]
    """The values to read."""

    @model_validator(mode="before")
    @classmethod
    def _take_the_profile(cls, device: Any) -> Any:
        if not isinstance(device, dict) or "profile" not in device:
            return device
        from fieldline_edge.profiles import with_profile  # it knows our tags, so it cannot be loaded before us

        return with_profile(device)

    @field_validator("tags", mode="wrap")
    @classmethod
    def _take_checked_tags_as_they_are(cls, tags: Any, check: ValidatorFunctionWrapHandler) -> Any:
        """A profile brings a tuple of them: the devices that change nothing share it, instead of a copy each."""
        if isinstance(tags, tuple) and tags and all(type(tag) is ModbusTagSettings for tag in tags):
            return tags
        return check(tags)

    @field_validator("holes")
    @classmethod
    def _holes_are_right(cls, holes: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        for first, last in holes:
            if first > last:
                raise ValueError(f"[{first}, {last}] ends before it begins; write [{last}, {first}]")
        return holes

    @model_validator(mode="after")
    def _tags_are_right(self) -> "ModbusDeviceSettings":
        check_rhythm(self.period_ms, self.phase_ms)
        check_unique_names(self.tags)
        for tag in self.tags:
            self._check_tag(tag)
        self._check_holes()
        return self

    def _check_holes(self) -> None:
        """A sweep over both in the order of addresses: ten thousand tags and a thousand holes are checked at once."""
        tags = sorted(self.tags, key=lambda tag: tag.address) if self.holes else ()
        reach = -1, -1  # the hole that goes on longest of those that have begun
        holes = deque(sorted(self.holes))
        for tag in tags:
            end = tag.address + tag.width
            while holes and holes[0][0] < end:
                reach = max(reach, holes.popleft(), key=lambda hole: hole[1])
            first, last = reach
            if last >= tag.address:
                raise ValueError(
                    f"holes: [{first}, {last}] holds registers of tag {tag.name!r} at {tag.address}; change one of them"
                )

    def _check_tag(self, tag: ModbusTagSettings) -> None:
        if not tag.kind.is_bits and tag.width > self.registers_per_request_max:
            raise ValueError(
                f"registers_per_request_max: {self.registers_per_request_max} is less than the "
                f"{tag.width} registers of tag {tag.name!r} ({tag.type.value}); raise it, because a "
                "value is never read in two halves"
            )
        if tag.group is not None and tag.group not in self.groups:
            known = ", ".join(map(repr, self.groups)) or "none"
            raise ValueError(
                f"tags: tag {tag.name!r} is in group {tag.group!r}, which 'groups' does not have ({known}); "
                "add it there, or correct the tag"
            )
