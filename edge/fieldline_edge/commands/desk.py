"""Decides whether a command is carried out: known tag, allowed, in range, new, in time, not too many. Pure."""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fieldline.model import Value
from fieldline_edge.commands.order import Answer, Order, Refusal
from fieldline_edge.drivers.modbus.encoding import NotWritten, encode
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.registers import BlockReader
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.drivers.modbus.tag_settings import ModbusTagSettings

__all__ = ["Memory", "Pace", "Writing", "check_age", "devices_by_topic", "writing_of"]

_AHEAD_S_MAX = 5.0  # clocks differ; a command from further in the future is from a clock that is wrong
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Writing:
    """A write that is allowed: the words (or the bit) for the device, and the value a poll then shows."""

    tag: ModbusTagSettings
    words: Sequence[int]
    value: Value


def writing_of(order: Order, device: ModbusDeviceSettings) -> Writing:
    """What the order comes down to. Refusal: unknown_tag, not_allowed, out_of_range, wrong_value."""
    tag = next((one for one in device.tags if one.name == order.tag), None)
    allowed = [one.name for one in device.tags if one.writable is not None]
    if tag is None:
        raise Refusal("unknown_tag", f"{order.tag[:64]!r} is no tag of {device.name!r}; writable are {_list(allowed)}")
    if tag.writable is None:
        raise Refusal("not_allowed", f"{tag.name!r} is not writable; writable are {_list(allowed)}")
    try:
        words = encode(tag, order.value, order=device.order)
    except NotWritten as error:
        raise Refusal("wrong_value", str(error)) from error
    block = Block(tag.kind, tag.address, tag.width, (0,))
    value = BlockReader(block, [tag], order=device.order).read(words, 0)[0].value
    _check_range(tag, order.value)
    if tag.type.is_integer:  # rounded to a step of the scale, it may have left the range
        _check_range(tag, value)
    return Writing(tag, words, value)


def _check_range(tag: ModbusTagSettings, value: Value) -> None:
    assert tag.writable is not None
    if isinstance(value, str | bool | None):
        return
    low, high = tag.writable.min, tag.writable.max
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"{'-' if low is None else f'{low:g}'} to {'-' if high is None else f'{high:g}'}"
        raise Refusal("out_of_range", f"{value:g} {tag.unit} is outside {bounds}, which {tag.name!r} may be written")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) or "none"


def check_age(order: Order, *, now_s: float, age_s_max: float) -> None:
    """Refusal("too_old") for a command given too long ago, or in the future. `now_s` is Unix time."""
    if order.at_s is None:
        return
    age_s = now_s - order.at_s
    if age_s > age_s_max:
        raise Refusal("too_old", f"given {age_s:.1f} s ago, and {age_s_max:g} s is the most; give it again")
    if age_s < -_AHEAD_S_MAX:
        raise Refusal("too_old", f"given {-age_s:.1f} s in the future; set the clocks")


class Pace:
    """At most so many writes in any minute. Times are seconds of one monotonic clock."""

    def __init__(self, per_minute_max: int) -> None:
        self._per_minute_max = per_minute_max
        self._begun: deque[float] = deque()

    def take(self, now_s: float) -> None:
        """Count one write, or raise Refusal("too_many")."""
        while self._begun and now_s - self._begun[0] >= _MINUTE_S:
            self._begun.popleft()
        if len(self._begun) >= self._per_minute_max:
            wait_s = _MINUTE_S - (now_s - self._begun[0])
            raise Refusal("too_many", f"{self._per_minute_max} writes in a minute are the most; wait {wait_s:.0f} s")
        self._begun.append(now_s)


class Memory:
    """The commands of late by their id, so that one that comes twice is done once. The oldest are forgotten."""

    def __init__(self, orders_max: int = 1000) -> None:
        self._orders_max = orders_max
        self._known: OrderedDict[tuple[str, str], tuple[str, Answer | None]] = OrderedDict()

    def begin(self, device: str, order: Order) -> Answer | None:
        """None if the order is new and is now known as begun; the answer if it was done before.

        Refusal: id_reused if the id had another tag or value, in_progress if it is not finished.
        """
        key, content = (device, order.id), f"{order.tag}={order.value!r}"
        if key not in self._known:
            self.note(device, order.id, content, None)
            return None
        earlier, answer = self._known[key]
        if earlier != content:
            raise Refusal("id_reused", f"id {order.id!r} was used for {earlier}; give every command an id of its own")
        if answer is None:
            raise Refusal("in_progress", f"{order.id!r} has been begun already, and its end is not known yet")
        return answer

    def finish(self, device: str, order: Order, answer: Answer) -> None:
        """Remember how it ended."""
        self.note(device, order.id, f"{order.tag}={order.value!r}", answer)

    def forget(self, device: str, order: Order) -> None:
        """The order was refused before anything was sent: it may come again."""
        self._known.pop((device, order.id), None)

    def note(self, device: str, order_id: str, content: str, answer: Answer | None) -> None:
        """Remember an order, also one of an earlier run."""
        self._known[device, order_id] = (content, answer)
        while len(self._known) > self._orders_max:
            self._known.popitem(last=False)


def devices_by_topic(devices: Sequence[ModbusDeviceSettings], site: str) -> Mapping[str, ModbusDeviceSettings]:
    """The topics that commands come on, for devices with a tag that may be written."""
    return {
        f"commands/{site}/{device.area}/{device.name}": device
        for device in devices
        if any(tag.writable is not None for tag in device.tags)
    }
