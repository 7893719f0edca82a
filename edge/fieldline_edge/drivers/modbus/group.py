"""The tags of a device that are read together: by which requests, and how each of these is. Pure."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from fieldline_edge.drivers.modbus.health import BlockHealth, DeviceHealth
from fieldline_edge.drivers.modbus.plan import Block, Limits, Range, Span, plan
from fieldline_edge.drivers.modbus.refusals import Refusals
from fieldline_edge.drivers.modbus.registers import BlockReader
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.drivers.modbus.tag_settings import ModbusTagSettings, Order, RegisterKind

__all__ = ["Group", "Part", "block_readers", "groups_of", "holes_of", "limits_of"]


@dataclass(slots=True, eq=False)
class Part:
    """One request of a group: `refused` if it is known that it would be refused."""

    reader: BlockReader
    health: BlockHealth
    refused: bool

    @property
    def block(self) -> Block:
        """What it asks for."""
        return self.reader.block


@dataclass(slots=True, eq=False)
class Group:
    """Tags with one rhythm. `name` is empty for those that follow the device's own period; a period of 0 is once."""

    name: str
    period_ms: int
    phase_ms: int | None
    tags: Sequence[ModbusTagSettings]
    limits: Limits
    order: Order
    parts: list[Part] = field(default_factory=list)
    spans: list[Span] = field(init=False)
    _version: int = -1

    def __post_init__(self) -> None:
        """Look up the addresses of the tags."""
        self.spans = [_span(tag) for tag in self.tags]

    def replan(self, refusals: Refusals, health: DeviceHealth) -> None:
        """Fit the requests to what is known of the device. Requests that stay keep their health."""
        if self._version == refusals.version:
            return
        self._version = refusals.version
        kept = {part.block: part for part in self.parts}
        self.parts = []
        for block in plan(self.spans, self.limits, refusals):
            part = kept.get(block) or Part(self.reader(block), health.block(), refused=False)
            part.refused = refusals.hit(block.range)
            self.parts.append(part)
        health.drop([part.health for part in kept.values() if part not in self.parts])

    def reader(self, block: Block) -> BlockReader:
        """Reads the tags at the block's positions."""
        return BlockReader(block, [self.tags[position] for position in block.spans], order=self.order)

    def values(self, block: Block) -> list[Range]:
        """Where the values of a block stand, by address, each place once."""
        return sorted({self.spans[position].range for position in block.spans})

    def concerns(self, asked: Range) -> bool:
        """Whether a value of this group stands in the range."""
        return any(asked.holds(span.range) for span in self.spans)

    def within(self, asked: Range, without: Set[str]) -> Block:
        """A request for a range, with all values of this group that are in it, except those of some tags."""
        inside = [
            i for i, span in enumerate(self.spans) if self.tags[i].name not in without and asked.holds(span.range)
        ]
        return Block(RegisterKind(asked.kind), asked.start, asked.end - asked.start, tuple(inside))


def groups_of(device: ModbusDeviceSettings) -> list[Group]:
    """The poll groups that have tags, the device's own first; not planned yet."""
    by_name: dict[str, list[ModbusTagSettings]] = {}
    for tag in device.tags:
        by_name.setdefault(tag.group or "", []).append(tag)
    rhythms = {"": (device.period_ms, device.phase_ms)}
    rhythms |= {name: (group.period_ms, group.phase_ms) for name, group in device.groups.items()}
    return [
        Group(name, *rhythm, by_name[name], limits_of(device), device.order)
        for name, rhythm in rhythms.items()
        if name in by_name
    ]


def limits_of(device: ModbusDeviceSettings) -> Limits:
    """What the device takes in one request."""
    return Limits(device.registers_per_request_max, device.bits_per_request_max, device.gap_registers_max)


def holes_of(device: ModbusDeviceSettings) -> list[Range]:
    """The holes of its configuration, in each of the four tables."""
    return [Range(kind.value, first, last + 1) for kind in RegisterKind for first, last in device.holes]


def block_readers(device: ModbusDeviceSettings) -> list[BlockReader]:
    """The requests that read all tags of a device whose refusals are not known, each with its reader."""
    return [
        group.reader(block)
        for group in groups_of(device)
        for block in plan(group.spans, group.limits, holes_of(device))
    ]


def _span(tag: ModbusTagSettings) -> Span:
    return Span(tag.kind, tag.address, tag.width, tag.read_alone)
