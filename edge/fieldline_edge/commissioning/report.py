"""A configuration to start from, with what was read as comments. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fieldline_edge.commissioning.guess import float32, float_order
from fieldline_edge.commissioning.ranges import Range
from fieldline_edge.commissioning.recognise import Found, Seen
from fieldline_edge.drivers.modbus.settings import RegisterKind

__all__ = ["ReportedDevice", "gateway_file"]

_TAGS_MAX = 40
_OBJECTS = {0: "vendor", 1: "product", 2: "revision", 4: "product name", 5: "model"}


@dataclass(frozen=True, slots=True)
class ReportedDevice:
    """One unit, and where it was found: `way` are the device's own lines, like `host: 10.0.0.7`."""

    name: str
    way: Sequence[str]
    unit: int
    seen: Seen
    found: Found
    remarks: Sequence[str] = ()


def gateway_file(devices: Sequence[ReportedDevice], *, origin: str) -> str:
    """The text of a gateway file that `check` accepts as it stands."""
    lines = [
        f"# {origin}",
        "# A file to start from: give the site, the area and the tags their names and units, then run",
        "#   fieldline-edge check FILE --devices   and   fieldline-edge run FILE",
        "kind: gateway",
        "name: gateway-1",
        "site: my-site",
        "hub: ${FIELDLINE_HUB:-127.0.0.1:50051}",
        "spool:",
        "  path: data/gateway-1/spool.db",
        "devices:",
    ]
    for device in devices:
        lines += _device(device)
    return "\n".join(lines) + "\n"


def _device(device: ReportedDevice) -> Iterator[str]:
    yield f"  # unit {device.unit}: {_identity(device.seen.identification)}"
    for kind, ranges in device.seen.ranges.items():
        if ranges:
            yield f"  # readable {kind.value}: {', '.join(map(str, ranges))}"
    for remark in device.remarks:
        yield f"  # {remark}"
    yield "  - driver: modbus"
    yield f"    name: {device.name}"
    yield "    area: my-area"
    yield from (f"    {line}" for line in device.way)
    yield f"    unit: {device.unit}"
    if device.found.sure is not None:
        yield f"    profile: {device.found.sure} # recognised: `fieldline-edge profiles {device.found.sure}` shows it"
        return
    if device.found.possible:
        yield f"    # its registers would also fit: {', '.join(device.found.possible)}. If it is one, replace `tags` by"
        yield f"    # profile: {device.found.possible[0]}"
    yield "    gap_registers_max: 0"
    yield "    tags:"
    tags = [line for kind, ranges in device.seen.ranges.items() for line in _tags(kind, ranges, device.seen)]
    yield from tags[:_TAGS_MAX]
    if len(tags) > _TAGS_MAX:
        yield f"      # and {len(tags) - _TAGS_MAX} more, left out here: `fieldline-edge probe` shows any address"
    if not tags:
        yield "      - {name: holding_0, address: 0, type: uint16} # nothing was readable: look into the manual"


def _identity(objects: Mapping[int, str]) -> str:
    told = [f"{_OBJECTS[i]} {_plain(objects[i])!r}" for i in sorted(objects) if i in _OBJECTS and objects[i]]
    return ", ".join(told) or "does not identify itself"


def _plain(text: str) -> str:
    """What a device says of itself, harmless in a comment."""
    return "".join(c if c.isprintable() else "?" for c in text)[:60]


def _tags(kind: RegisterKind, ranges: Sequence[Range], seen: Seen) -> Iterator[str]:
    contents = [[seen.words.get((kind, each), 0) for each in range(one.first, one.last + 1)] for one in ranges]
    order = None if kind.is_bits else float_order(contents)
    for one, words in zip(ranges, contents, strict=True):
        if kind.is_bits:
            for i, bit in enumerate(words):
                yield _line(kind, one.first + i, "bool", f"read {'true' if bit else 'false'}")
            continue
        if order is None:
            for i, word in enumerate(words):
                yield _line(kind, one.first + i, "uint16", f"read {word} (0x{word:04x})")
            continue
        for i in range(0, len(words) - 1, 2):
            value = float32(words[i], words[i + 1], order)
            extra = f", order: {order.value}" if order.value != "ABCD" else ""
            yield _line(kind, one.first + i, "float32" + extra, f"read {value:.6g} (a guess)")
        if len(words) % 2:
            yield _line(kind, one.last, "uint16", f"read {words[-1]}")


def _line(kind: RegisterKind, address: int, type_: str, comment: str) -> str:
    shown = "" if kind is RegisterKind.HOLDING else f"kind: {kind.value}, "
    return f"      - {{name: {kind.value}_{address}, {shown}address: {address}, type: {type_}}} # {comment}"
