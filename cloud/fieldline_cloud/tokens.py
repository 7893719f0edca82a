"""Bearer tokens, for clients that cannot have certificates: made, kept as digests, revoked.

A token is 256 random bits. There is no dictionary to try, so one round of SHA-256 hides it as well as a slow password
hash would, and a flood of bad tokens costs the hub nothing. The file is a list of records, one JSON object, readable by
its owner alone; the token itself is shown once, when it is issued.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from fieldline.errors import ConfigError
from fieldline.topics import check_name

__all__ = ["TOKENS_MAX", "Token", "TokenBook", "add_token", "read_tokens", "remove_token"]

TOKENS_MAX = 10_000
_FILE_BYTES_MAX = 4 << 20
_FORM = re.compile(r"flt_([0-9a-f]{12})_([A-Za-z0-9_-]{43})\Z")


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token. Times are Unix seconds; expires_s None: it never does."""

    id: str
    identity: str
    sha256: str
    issued_s: int
    expires_s: int | None


class TokenBook:
    """Tokens by id, ready to be asked."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = {token.id: token for token in tokens}

    def find(self, text: str) -> Token | None:
        """The record of a token as it was shown; None if there is none. Takes the same time for every wrong secret."""
        found = _FORM.match(text)
        token = self._tokens.get(found[1]) if found else None
        if token is None or not hmac.compare_digest(token.sha256, _digest(text)):
            return None
        return token

    def why_not(self, token: Token, now_s: float) -> str:
        """Why this token is no good any more; empty if it is."""
        if self._tokens.get(token.id) != token:
            return f"token {token.id} was revoked"
        if token.expires_s is not None and now_s >= token.expires_s:
            return f"token {token.id} has expired"
        return ""


def read_tokens(path: Path) -> list[Token]:
    """Read a tokens file. ConfigError if it cannot be read, is open to others, or is not what we wrote."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}; make it with 'fieldline tokens issue --file {path} NAME'"
        ) from error
    if mode & 0o077:
        raise ConfigError(f"{path}: others may read it (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}")
    try:
        if len(content) > _FILE_BYTES_MAX:
            raise ValueError
        return [_token(**record) for record in json.loads(content)["tokens"]]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: is not a tokens file; move it away and issue the tokens again") from None


def add_token(path: Path, identity: str, *, now_s: float, days: float | None) -> tuple[str, Token]:
    """Make a token for an identity, good for `days`; returns it as it will never be shown again. Makes the file."""
    check_name(identity, "identity")
    tokens = read_tokens(path) if path.exists() else []
    if len(tokens) >= TOKENS_MAX:
        raise ConfigError(f"{path}: holds {TOKENS_MAX} tokens already; revoke some first")
    number = secrets.token_hex(6)
    text = f"flt_{number}_{secrets.token_urlsafe(32)}"
    expires_s = None if days is None else int(now_s + days * 86_400)
    token = Token(number, identity, _digest(text), int(now_s), expires_s)
    _write(path, [*tokens, token])
    return text, token


def remove_token(path: Path, number: str) -> Token:
    """Revoke a token by its id. ConfigError if there is none such."""
    tokens = read_tokens(path)
    gone = [token for token in tokens if token.id == number]
    if not gone:
        raise ConfigError(f"{path}: has no token {number[:40]!r}; see 'fieldline tokens list --file {path}'")
    _write(path, [token for token in tokens if token.id != number])
    return gone[0]


def _token(id: str, identity: str, sha256: str, issued_s: int, expires_s: int | None) -> Token:
    """One record, checked; TypeError if a field has the wrong kind of value."""
    if not all(isinstance(one, str) for one in (id, identity, sha256)):
        raise TypeError
    if not isinstance(issued_s, int) or not isinstance(expires_s, int | None):
        raise TypeError
    return Token(id, identity, sha256, issued_s, expires_s)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, tokens: list[Token]) -> None:
    """Replace the file as a whole, so that a hub that reads it meanwhile sees the old or the new one."""
    content = json.dumps({"tokens": [asdict(token) for token in tokens]}, indent=1) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():  # a hub that runs as another user owns its file, and must go on owning it
            owner = path.stat()
            if (owner.st_uid, owner.st_gid) != (os.getuid(), os.getgid()):
                os.chown(name, owner.st_uid, owner.st_gid)
        os.replace(name, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; choose a folder you may write to") from error
