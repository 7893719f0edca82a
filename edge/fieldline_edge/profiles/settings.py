"""Settings of a device profile: a file with `kind: profile`, the register map of one type of device."""

from enum import Enum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from fieldline.config import FileSettings, Settings
from fieldline_edge.drivers.modbus.settings import REGISTERS_PER_REQUEST_MAX, ModbusTagSettings, RegisterKind
from fieldline_edge.drivers.settings import Name, check_unique_names
from fieldline_edge.processing.checks import device_problems
from fieldline_edge.processing.settings import DerivedSettings
from fieldline_edge.profiles.expand import ALL_TAGS

__all__ = ["Checked", "ManualSettings", "ProfileSettings", "RecogniseSettings", "Words"]


class Checked(Enum):
    """How far somebody has made sure that a profile is right."""

    MANUAL = "manual"
    MAP = "map"
    HARDWARE = "hardware"


class ManualSettings(Settings):
    """The public document of its maker that a profile was written from, as far as it was seen."""

    title: str = Field(min_length=1, max_length=200)
    """Title of the manual as its maker gives it."""
    revision: str = Field(min_length=1, max_length=100)
    """Revision, document number or date of the manual."""
    url: str = Field(pattern=r"^https?://\S+$", max_length=400)
    """Where everybody can read it."""


class Words(Settings):
    """Registers that hold the same words in every device of the type."""

    kind: RegisterKind = RegisterKind.HOLDING
    """Table the registers stand in."""
    address: int = Field(ge=0, le=65_535)
    """Address of the first one, as on the wire."""
    words: Annotated[
        tuple[Annotated[int, Field(ge=0, le=0xFFFF)], ...], Field(min_length=1, max_length=REGISTERS_PER_REQUEST_MAX)
    ]
    """What stands there."""


class RecogniseSettings(Settings):
    """By what a scan knows the device again; everything that is given here must fit."""

    vendor: str = ""
    """What the vendor name of the device identification (function code 43/14) begins with, in any case."""
    product: str = ""
    """What the product code of the device identification begins with, in any case."""
    words: tuple[Words, ...] = ()
    """Registers that are the same in every such device."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to go by but the readable ranges."""
        return not (self.vendor or self.product or self.words)


class ProfileSettings(FileSettings):
    """The register map of one type of Modbus device, to be used as `profile: NAME` of a device."""

    KIND: ClassVar[str] = "profile"
    kind: Literal["profile"]
    """Says that this file describes a type of device."""
    name: Name
    """Name of the profile; the file is called like it, with .yaml."""
    title: str = Field(default="", max_length=100)
    """Maker and type, as on the device."""
    what: str = Field(default="", max_length=60)
    """What kind of device it is, like energy meter or frequency inverter."""
    manual: ManualSettings | None = None
    """The public document it was written from; one that comes with the gateway has it."""
    checked: Checked | None = None
    """manual: every tag is from the maker's documents; map: at least some are from the map that another project
    publishes, and `notes` says which; neither was tried on the device. hardware: tried on the device."""
    notes: str = Field(default="", max_length=1000)
    """What one has to know or set at the device before it works, and where what is said here is from."""
    registers_per_request_max: int = Field(default=REGISTERS_PER_REQUEST_MAX, ge=1, le=REGISTERS_PER_REQUEST_MAX)
    """Most registers the device answers in one request."""
    gap_registers_max: int = Field(default=0, ge=0, le=REGISTERS_PER_REQUEST_MAX)
    """How many registers that nobody asked for one request may read over; 0 for a device whose map has holes."""
    recognise: RecogniseSettings = Field(default_factory=RecogniseSettings)
    """By what a scan knows the device again."""
    tags: Annotated[tuple[ModbusTagSettings, ...], Field(min_length=1)]
    """The values the device offers."""
    derived: tuple[DerivedSettings, ...] = ()
    """Values computed from them by the gateway, for a device that speaks in raw numbers and scale factors."""

    @model_validator(mode="after")
    def _tags_are_right(self) -> "ProfileSettings":
        check_unique_names(self.tags)
        if ALL_TAGS in [tag.name for tag in self.tags] + [made.name for made in self.derived]:
            raise ValueError(f"tags: the name {ALL_TAGS!r} stands for all tags of a profile; rename the tag")
        if problems := device_problems(self.tags, self.derived, ()):
            raise ValidationError.from_exception_data(type(self).__name__, problems)
        return self
