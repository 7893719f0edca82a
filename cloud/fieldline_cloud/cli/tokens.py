"""`fieldline tokens`: bearer tokens for clients that cannot have a certificate."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from fieldline.cli import new_app
from fieldline_cloud.tokens import add_token, read_tokens, remove_token

__all__ = ["tokens"]

tokens: Final = new_app("Bearer tokens, for clients that cannot have a certificate.")

_File = Annotated[Path, typer.Option("--file", help="The hub's auth.tokens_file")]
_FILE: Final = Path("tokens.json")


@tokens.command()
def issue(
    identity: Annotated[str, typer.Argument(help="Identity the token stands for")],
    file: _File = _FILE,
    days: Annotated[float, typer.Option(help="Days it is good for", min=0.01)] = 90.0,
    forever: Annotated[bool, typer.Option("--forever", help="Good until it is revoked")] = False,
) -> None:
    """Make a token and print it, this once: the file keeps only its digest. The hub sees the change by itself.

    Example: `fieldline tokens issue reporting --file /etc/fieldline/tokens.json --days 30`

    Exit codes: 0 issued, 2 wrong name or file.
    """
    text, token = add_token(file, identity, now_s=time.time(), days=None if forever else days)
    typer.echo(f"token {token.id} for {identity}, good {_until(token.expires_s)}; shown only now:", err=True)
    print(text)


@tokens.command("list")
def list_(file: _File = _FILE) -> None:
    """List the tokens: id, identity, and how long they are good.

    Example: `fieldline tokens list --file /etc/fieldline/tokens.json`

    Exit codes: 0 listed, 2 the file cannot be read, or others may read it.
    """
    now_s = time.time()
    for token in read_tokens(file):
        over = token.expires_s is not None and token.expires_s <= now_s
        print(f"{token.id}  {token.identity}  {'expired' if over else f'good {_until(token.expires_s)}'}")


@tokens.command()
def revoke(
    number: Annotated[str, typer.Argument(metavar="ID", help="Id of the token, as 'list' shows it")],
    file: _File = _FILE,
) -> None:
    """Revoke a token. The hub ends the streams it opened within seconds.

    Example: `fieldline tokens revoke 0a1b2c3d4e5f --file /etc/fieldline/tokens.json`

    Exit codes: 0 revoked, 2 there is no such token.
    """
    token = remove_token(file, number)
    print(f"revoked {token.id} of {token.identity}")


def _until(expires_s: int | None) -> str:
    return (
        "until revoked" if expires_s is None else f"until {datetime.fromtimestamp(expires_s, UTC):%Y-%m-%d %H:%M} UTC"
    )
