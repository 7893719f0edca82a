"""What a new configuration changes in a running gateway. Pure: two settings in, a plan out.

Three kinds of difference: what only a part has to hear of (bounds), what restarts a part (the hub's address, a
device's line), and what cannot change under a running gateway (its name, its spool's file). One of the last kind
refuses the whole file, so that a gateway never runs on half of it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pydantic import SecretStr

from fieldline.config import Settings
from fieldline_edge.settings import GatewaySettings

__all__ = ["ReloadPlan", "plan_reload"]

_UPLINK = frozenset({"hub", "hub_tls", "hub_token"})
# Read at the moment they are needed: nothing has to be told.
_READ_WHEN_NEEDED = frozenset({"reload", "shutdown_drain_s", "metrics.devices_max"})
_BOUNDS = frozenset({"batch.linger_ms", "batch.readings_max", "batch.bytes_max"}) | frozenset(
    {"spool.bytes_max", "spool.memory_bytes_max", "spool.commit_ms_max"}
)


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """What has to happen for the new settings to be in force; devices are named `area/name`."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: bool = False  # the same devices in another order: nothing restarts
    uplink: bool = False  # the hub, or the way to it, is another
    bounds: tuple[str, ...] = ()  # keys of bounds that are applied where they are used
    others: tuple[str, ...] = ()  # keys that take effect when they are next looked at, or that a part takes over
    refused: tuple[str, ...] = ()  # one sentence for each key that needs a restart

    @property
    def devices(self) -> bool:
        """Whether any device is added, removed or changed."""
        return bool(self.added or self.removed or self.changed)

    @property
    def is_empty(self) -> bool:
        """Whether both settings mean the same."""
        return self == ReloadPlan()

    def __str__(self) -> str:
        """One line for the log."""
        said = [
            f"{len(names)} devices {what} ({_some(names)})"
            for what, names in (("added", self.added), ("removed", self.removed), ("changed", self.changed))
            if names
        ]
        said += ["the uplink starts anew"] if self.uplink else []
        said += [f"new {_some((*self.bounds, *self.others))}"] if self.bounds or self.others else []
        return "; ".join(said) or "nothing has changed"


def plan_reload(old: GatewaySettings, new: GatewaySettings, *, taken: Collection[str] = ()) -> ReloadPlan:
    """What `new` changes in a gateway that runs on `old`.

    `taken` are keys, dotted or of a whole section, that a part of the gateway takes over by itself. A key nobody
    knows needs a restart: a setting that is added one day is refused, not ignored.
    """
    bounds: list[str] = []
    others: list[str] = []
    refused: list[str] = []
    uplink = False
    for key, before, after in _differences(old, new):
        section = key.partition(".")[0]
        if section == "devices":
            continue
        if section in _UPLINK:
            uplink = True
        elif key in _BOUNDS:
            bounds.append(key)
        elif key in _READ_WHEN_NEEDED or key in taken or section in taken:
            others.append(key)
        else:
            refused.append(f"{key}: {before} -> {after} needs a restart of the gateway; nothing was changed")
    return _with_devices(old, new, uplink, tuple(bounds), tuple(others), tuple(refused))


def _with_devices(
    old: GatewaySettings,
    new: GatewaySettings,
    uplink: bool,
    bounds: tuple[str, ...],
    others: tuple[str, ...],
    refused: tuple[str, ...],
) -> ReloadPlan:
    before = {f"{device.area}/{device.name}": device for device in old.devices}
    after = {f"{device.area}/{device.name}": device for device in new.devices}
    return ReloadPlan(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and before[name] != after[name]),
        moved=list(before) != list(after) and before == after,
        uplink=uplink,
        bounds=bounds,
        others=others,
        refused=refused,
    )


def _differences(old: Settings, new: Settings, before: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted key, old value, new value), shown; sections are entered where both have them."""
    for name in type(old).model_fields:
        one, other = getattr(old, name), getattr(new, name)
        if one == other:
            continue
        key = f"{before}{name}"
        if isinstance(one, Settings) and type(one) is type(other) and key not in _UPLINK:
            yield from _differences(one, other, f"{key}.")
        else:
            yield key, _shown(one), _shown(other)


def _shown(value: object) -> str:
    if value is None:
        return "(left out)"
    if isinstance(value, SecretStr | Settings | tuple):
        return "..."
    return str(getattr(value, "value", value))[:80]


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
