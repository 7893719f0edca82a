import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import DeviceId, Quality, Reading
from fieldline.wire.readings import decode_readings, encode_readings
from fieldline_cloud.prognosis.tags import Prognosis, prognosis_readings, prognosis_topic, read_prognosis

T0 = 1_760_000_000_000_000_000
BEARING = Prognosis(30.0, 52.5, 90.0, since_ns=T0 - 5, trend="rising 0.02 mm/s per day", at_ns=T0)

hours = st.floats(min_value=0, max_value=1e6)


@given(st.lists(hours, min_size=3, max_size=3).map(sorted), st.integers(0, T0), st.text(max_size=50))
def test_a_prognosis_survives_the_wire(quantiles: list[float], since_ns: int, trend: str) -> None:
    p10_h, p50_h, p90_h = quantiles
    said = Prognosis(p10_h, p50_h, p90_h, since_ns=since_ns, trend=trend, at_ns=T0)

    body = encode_readings(prognosis_readings("vibration", said, T0))

    assert read_prognosis(decode_readings(body)) == {"vibration": said}


def test_a_withdrawn_prognosis_is_none() -> None:
    body = encode_readings(prognosis_readings("vibration", None, T0))

    assert read_prognosis(decode_readings(body)) == {"vibration": None}


def test_the_newest_prognosis_of_each_tag_counts() -> None:
    readings = [
        *prognosis_readings("vibration", BEARING, T0),
        *prognosis_readings("vibration", None, T0 - 1),
        *prognosis_readings("temperature", None, T0),
        *prognosis_readings("temperature", BEARING, T0 - 1),
    ]

    assert read_prognosis(readings) == {"vibration": BEARING, "temperature": None}


def test_quantiles_alone_make_a_prognosis() -> None:
    readings = [Reading(f"flow.remaining_h.{part}", T0, value) for part, value in (("p10", 1), ("p50", 2), ("p90", 3))]

    assert read_prognosis(readings) == {"flow": Prognosis(1.0, 2.0, 3.0, at_ns=T0)}


@pytest.mark.parametrize(
    "broken",
    [
        Reading("flow.remaining_h.p50", T0, math.nan),
        Reading("flow.remaining_h.p50", T0, math.inf),
        Reading("flow.remaining_h.p50", T0, -1.0),
        Reading("flow.remaining_h.p50", T0, 500.0),
        Reading("flow.remaining_h.p50", T0, "soon"),
        Reading("flow.remaining_h.p50", T0, True),
        Reading("flow.remaining_h.p50", T0, None, Quality.BAD),
        Reading("flow.remaining_h.p50", T0, 50.0, Quality.BAD_STALE),
        Reading("flow.remaining_h.p50", T0 + 1, 50.0),
        Reading("flow.remaining_h.p99", T0, 50.0),
        Reading(".remaining_h.p50", T0, 50.0),
        Reading("flow", T0, 50.0),
    ],
)
def test_what_is_no_prognosis_is_passed_over(broken: Reading) -> None:
    whole = prognosis_readings("flow", BEARING, T0)

    assert read_prognosis([one for one in whole if one.tag != "flow.remaining_h.p50"] + [broken]) == {}


def test_prognoses_have_a_topic_beside_the_readings() -> None:
    assert prognosis_topic(DeviceId("demo", "hall-a", "pump-2")) == "prognoses/demo/hall-a/pump-2"
