"""Histories as CSV: read as they are, and refused with file, line, column and cure."""

import numpy as np
import pytest

from fieldline.errors import ConfigError
from fieldline_cloud.prognosis.histories import parse_history

ROWS = "".join(f"{step},{step * 2}\n" for step in range(20))


def test_columns_are_tags_and_rows_are_steps() -> None:
    history = parse_history("\ufeffvibration, temperature\n" + ROWS, "p.csv")
    assert history.tags == ("vibration", "temperature")
    assert history.values.shape == (20, 2)
    assert history.values[19].tolist() == [19.0, 38.0]


def test_columns_come_in_the_order_of_the_first_file() -> None:
    history = parse_history("vibration,temperature\n" + ROWS, "p.csv", ("temperature", "vibration"))
    assert history.tags == ("temperature", "vibration")
    assert history.values[19].tolist() == [38.0, 19.0]


def test_an_empty_cell_is_a_step_without_a_value() -> None:
    values = parse_history("a,b\n,nan\n" + ROWS, "p.csv").values
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1:]).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "p.csv:1: 0 columns: write 1 to 256 tags"),
        ("a;b\n1;2\n", "p.csv:1: column 'a;b' is no tag; the first line holds the tags, with commas"),
        ("a,a\n" + ROWS, "p.csv:1: column 'a' is there twice; keep one"),
        ("a,b\n1,2\n3,x4\n" + ROWS, "p.csv:3: column 'b': 'x4' is no number; write one like 2.5, or leave"),
        ("a,b\n1,inf\n" + ROWS, "p.csv:2: column 'b': 'inf' is no number"),
        ("a,b\n1,2,3\n" + ROWS, "p.csv:2: 3 cells under 2 columns; write each number with a point"),
        ("a,b\n1,2\n", "p.csv: 1 steps: a machine needs at least 20; take it out"),
        ('a,b\n"' + "1" * 200_000 + '",1\n', "p.csv:2: is no CSV: field larger than field limit"),
    ],
)
def test_what_is_no_history_is_refused_with_its_place_and_cure(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_history(text, "p.csv")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (("a", "b", "c"), "p.csv:1: column 'c' is missing; all files of one type need the same tags"),
        (("a",), "p.csv:1: column 'b' is not in the other files; all need the same tags"),
    ],
)
def test_files_of_one_type_have_the_same_tags(tags: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_history("a,b\n" + ROWS, "p.csv", tags)
