"""What is looked at when one device is probed or checked: settings in, decoded values out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fieldline.model import Reading, Value
from fieldline_edge.drivers.modbus.group import holes_of
from fieldline_edge.drivers.modbus.plan import Block, Limits, Span, plan
from fieldline_edge.drivers.modbus.registers import BlockReader
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings, Order, RegisterType

__all__ = ["BLOCK_KINDS", "Look", "Row", "ad_hoc_tags", "is_plausible"]

BLOCK_KINDS = ("holding", "input", "coil", "discrete")


@dataclass(frozen=True, slots=True)
class Row:
    """One tag as it was read: `orders` has its value in each byte order, if that was asked for."""

    tag: str
    place: str
    reading: Reading | None
    trouble: str = ""
    took_ms: float = 0.0
    unit: str = ""
    orders: Mapping[str, Value] | None = None


class Look:
    """The requests that show a device, and what their answers mean."""

    def __init__(self, device: ModbusDeviceSettings, *, with_orders: bool = False) -> None:
        self.device = device
        self._readers = _readers(device)
        self._tags = {tag.name: tag for tag in device.tags}
        self._in_orders: dict[str, list[BlockReader]] = {}
        if with_orders:
            for order in Order:
                tags = tuple(tag.model_copy(update={"order": order}) for tag in device.tags)
                self._in_orders[order.value] = _readers(device.model_copy(update={"tags": tags}))

    @property
    def blocks(self) -> Sequence[Block]:
        """What to ask, in this order."""
        return [reader.block for reader in self._readers]

    def rows(self, position: int, answer: Sequence[int] | str, *, at_ns: int, took_ms: float) -> list[Row]:
        """The tags of one block: `answer` is what was read, or why nothing was."""
        reader = self._readers[position]
        if isinstance(answer, str):
            return [self._row(name, None, answer, took_ms) for name in reader.tag_names]
        readings = reader.read(answer, at_ns)
        others: dict[str, dict[str, Value]] = {}
        for order, readers in self._in_orders.items():
            for one in readers[position].read(answer, at_ns):
                others.setdefault(one.tag, {})[order] = one.value
        return [self._row(one.tag, one, "", took_ms, others.get(one.tag)) for one in readings]

    def _row(
        self,
        name: str,
        reading: Reading | None,
        trouble: str,
        took_ms: float,
        orders: Mapping[str, Value] | None = None,
    ) -> Row:
        tag = self._tags[name]
        bit = f".{tag.bit}" if tag.bit is not None else ""
        place = f"{tag.kind.value} {tag.address}{bit} {tag.type.value}"
        many = None if tag.type is RegisterType.BOOL else orders
        return Row(name, place, reading, trouble, took_ms, tag.unit, many)


def _readers(device: ModbusDeviceSettings) -> list[BlockReader]:
    """All of a device's tags at once, whatever its poll groups are."""
    spans = [Span(tag.kind, tag.address, tag.width, tag.read_alone) for tag in device.tags]
    limits = Limits(device.registers_per_request_max, device.bits_per_request_max, device.gap_registers_max)
    blocks = plan(spans, limits, holes_of(device))
    return [BlockReader(each, [device.tags[i] for i in each.spans], order=device.order) for each in blocks]


def is_plausible(row: Row) -> bool:
    """Whether a value came and nothing speaks against it."""
    return row.reading is not None and row.reading.quality.is_good


def ad_hoc_tags(kind: str, address: int, count: int, type_: str, order: str) -> list[dict[str, object]]:
    """Tags for `count` values from `address` on, for a device nobody has described."""
    bits = kind in ("coil", "discrete")
    type_ = "bool" if bits else type_
    width = max(1, RegisterType(type_).bits // 16)
    places = range(address, address + count * width, width)
    own: dict[str, object] = {} if bits else {"order": order}
    return [{"name": f"{kind}_{at}", "kind": kind, "address": at, "type": type_, **own} for at in places]
