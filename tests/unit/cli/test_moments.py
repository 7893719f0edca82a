"""Times as people write them."""

import pytest

from fieldline.cli.moments import parse_moment
from fieldline.errors import ConfigError

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("90s", NOW_MS - 90_000),
        ("90m", NOW_MS - 90 * 60_000),
        ("36h", NOW_MS - 36 * 3_600_000),
        ("14d", NOW_MS - 14 * 86_400_000),
        ("999999999d", 1),
        ("2023-11-14T22:13:20Z", NOW_MS),
        ("2023-11-14T22:13:20", NOW_MS),
        ("2023-11-14 23:13:20+01:00", NOW_MS),
        ("2023-11-14", 1_699_920_000_000),
    ],
)
def test_a_time_is_an_age_or_a_date(text: str, at_ms: int) -> None:
    assert parse_moment(text, now_ms=NOW_MS) == at_ms


@pytest.mark.parametrize("text", ["", "soon", "5", "5w", "-5h", "1.5h", "1969-01-01", "2023-13-01", "\u0665h"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a time; write an age like 36h or 14d, or 2026-01-31T12:00Z"):
        parse_moment(text, now_ms=NOW_MS)
