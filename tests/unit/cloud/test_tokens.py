"""Tokens: made, kept as digests, revoked."""

from pathlib import Path

import pytest

from fieldline.errors import BadName, ConfigError
from fieldline_cloud.tokens import TokenBook, add_token, read_tokens, remove_token


def test_a_token_is_found_by_its_text_and_by_nothing_else(tmp_path: Path) -> None:
    text, token = add_token(tmp_path / "t.json", "a", now_s=0, days=1)
    other, _ = add_token(tmp_path / "t.json", "b", now_s=0, days=1)
    book = TokenBook(read_tokens(tmp_path / "t.json"))

    assert book.find(text) == token
    for wrong in (
        "",
        "x",
        text[:-1],
        text + "x",
        text[:-1] + ("A" if text[-1] != "A" else "B"),
        text[:17] + other[17:],
    ):
        assert book.find(wrong) is None


def test_the_file_is_its_owners_alone_and_does_not_hold_the_token(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "t.json"
    text, _ = add_token(path, "a", now_s=0, days=None)

    assert path.stat().st_mode & 0o777 == 0o600
    assert text.split("_", 2)[2] not in path.read_text()
    assert [one.name for one in path.parent.iterdir()] == ["t.json"]


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    add_token(path, "a", now_s=0, days=None)
    path.chmod(0o640)

    with pytest.raises(ConfigError, match="chmod 600"):
        read_tokens(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"tokens": [{"id": 1}]}',
        '{"tokens": 5}',
        '{"tokens": [{"id": "a", "identity": "b", "sha256": "c", "issued_s": 1, "expires_s": "x"}]}',
        "\x00",
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(ConfigError, match="not a tokens file"):
        read_tokens(path)


def test_a_token_ends_with_its_days_or_when_it_is_revoked(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    _, token = add_token(path, "a", now_s=1000, days=1)
    book = TokenBook([token])

    assert book.why_not(token, 1000 + 86_399) == ""
    assert "expired" in book.why_not(token, 1000 + 86_400)
    remove_token(path, token.id)
    assert "revoked" in TokenBook(read_tokens(path)).why_not(token, 1000)
    with pytest.raises(ConfigError, match="no token"):
        remove_token(path, token.id)


def test_an_identity_must_be_a_name(tmp_path: Path) -> None:
    with pytest.raises(BadName):
        add_token(tmp_path / "t.json", "../x", now_s=0, days=1)
