"""What a new configuration changes, decided from two settings."""

import pytest

from fieldline.config import loads
from fieldline_edge.reload.plan import ReloadPlan, plan_reload
from fieldline_edge.settings import GatewaySettings

DEVICE = "{{driver: modbus, name: {name}, area: hall, host: 127.0.0.1, period_ms: {period}, {tags}}}"
TAGS = "tags: [{name: t, address: 0, type: int16}]"


def device(name: str, period: int = 1000) -> str:
    return DEVICE.format(name=name, period=period, tags=TAGS)


def settings(*devices: str, **changes: str) -> GatewaySettings:
    keys = {"name": "gw", "site": "demo", "hub": "127.0.0.1:9", "spool": "{path: s.db}"} | changes
    lines = ["kind: gateway", *(f"{key}: {value}" for key, value in keys.items())]
    lines += ["devices:", *(f"  - {each}" for each in devices or (device("a"), device("b")))]
    return loads("\n".join(lines), GatewaySettings, name="g.yaml")


def test_the_same_settings_change_nothing() -> None:
    plan = plan_reload(settings(), settings())

    assert plan.is_empty
    assert str(plan) == "nothing has changed"


def test_devices_are_added_removed_and_changed_by_their_name() -> None:
    plan = plan_reload(settings(device("a"), device("b")), settings(device("b", 500), device("c")))

    assert plan == ReloadPlan(added=("hall/c",), removed=("hall/a",), changed=("hall/b",))
    assert str(plan) == ("1 devices added (hall/c); 1 devices removed (hall/a); 1 devices changed (hall/b)")


def test_devices_in_another_order_restart_nothing() -> None:
    plan = plan_reload(settings(device("a"), device("b")), settings(device("b"), device("a")))

    assert plan == ReloadPlan(moved=True)
    assert not plan.devices


@pytest.mark.parametrize(
    "change",
    [
        {"hub": "127.0.0.1:10"},
        {"hub_tls": "{ca: ca.crt}"},
        {"hub_token": "secret"},
    ],
)
def test_another_way_to_the_hub_restarts_the_uplink_alone(change: dict[str, str]) -> None:
    assert plan_reload(settings(), settings(**change)) == ReloadPlan(uplink=True)


def test_bounds_are_applied_where_they_are_used() -> None:
    new = settings(batch="{linger_ms: 10, readings_max: 5}", spool="{path: s.db, bytes_max: 2097152}")

    plan = plan_reload(settings(), new)

    assert plan == ReloadPlan(bounds=("batch.linger_ms", "batch.readings_max", "spool.bytes_max"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "other"}, "name: gw -> other needs a restart"),
        ({"site": "other"}, "site: demo -> other needs a restart"),
        ({"spool": "{path: t.db}"}, "spool.path: s.db -> t.db needs a restart"),
        ({"metrics": "{listen: '127.0.0.1:9465'}"}, "metrics: (left out) -> ... needs a restart"),
        ({"clock": "{unsynchronised: mark}"}, "clock.unsynchronised: auto -> mark needs a restart"),
    ],
)
def test_what_needs_a_restart_is_refused_by_name(change: dict[str, str], sentence: str) -> None:
    (refused,) = plan_reload(settings(), settings(**change)).refused

    assert refused.startswith(sentence)


def test_a_part_may_take_a_section_over_by_itself() -> None:
    plan = plan_reload(settings(), settings(clock="{jump_ms_min: 100}"), taken=["clock"])

    assert plan == ReloadPlan(others=("clock.jump_ms_min",))


def test_no_secret_is_ever_shown() -> None:
    plan = plan_reload(settings(hub_token="old-secret"), settings(hub_token="new-secret", name="x"))

    assert "secret" not in str(plan) + "".join(plan.refused)
