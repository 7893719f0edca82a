"""`fieldline certs`: a small certificate authority for the hub and its clients."""

import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from fieldline.cli import new_app
from fieldline.errors import ConfigError

__all__ = ["certs"]

certs: Final = new_app("Certificates for the hub and its clients, from an authority of your own in a folder.")

_Folder = Annotated[Path, typer.Option("--folder", help="Folder of the authority; keep it off the hub's machine")]
_FOLDER: Final = Path("certs")


@certs.command()
def init(
    folder: _Folder = _FOLDER,
    name: Annotated[str, typer.Option(help="Name of the authority, for people")] = "Fieldline plant CA",
) -> None:
    """Make the authority: ca.key (guard it), ca.crt (every hub and client gets it), crl.pem (the hub gets it).

    Example: `fieldline certs init --folder certs`

    Exit codes: 0 made, 2 there is one already, or the folder cannot be written.
    """
    from fieldline_cloud.certs import Authority

    authority = Authority(folder)
    authority.create(name, now=_now())
    print(f"made {authority.certificate_path} and {folder / 'ca.key'}; whoever has the key can be anybody: back it up")


@certs.command()
def issue(
    kind: Annotated[str, typer.Argument(help="hub or identity")],
    name: Annotated[str, typer.Argument(help="Name of the hub, or of the identity")],
    address: Annotated[
        list[str] | None, typer.Option(help="DNS name or IP address clients call the hub by; may be repeated")
    ] = None,
    days: Annotated[int, typer.Option(help="Days it is good for")] = 90,
    folder: _Folder = _FOLDER,
) -> None:
    """Issue a certificate, and say what to copy where. Issuing again for the same name is how one is renewed.

    Example: `fieldline certs issue identity gateway-1 --days 30`

    Exit codes: 0 issued, 2 wrong name, address or folder.
    """
    from fieldline_cloud.certs import Authority

    authority = Authority(folder)
    if kind == "hub":
        made = authority.issue_hub(name, address or (), days=days, now=_now())
    elif kind == "identity":
        if address:
            raise ConfigError("--address: only a hub is called by an address; leave it out for an identity")
        made = authority.issue_identity(name, days=days, now=_now())
    else:
        raise ConfigError(f"{kind!r}: must be hub or identity")
    _advise(kind, name, made, authority.certificate_path, authority.crl_path)


def _advise(kind: str, name: str, made: Path, ca: Path, crl: Path) -> None:
    certificate, key = made / f"{name}.crt", made / f"{name}.key"
    if kind == "hub":
        print(f"copy to the hub: {certificate}, {key} (mode 0600), {ca}, {crl}; then in hub.yaml:")
        print(f"  tls: {{certificate: {name}.crt, key: {name}.key, client_ca: ca.crt, revoked: crl.pem}}")
    else:
        print(f"copy to the client {name}: {certificate}, {key} (mode 0600), {ca}; then in its file:")
        print(f"  hub_tls: {{ca: ca.crt, certificate: {name}.crt, key: {name}.key}}")
        print(f"and in hub.yaml, under auth.identities: {{name: {name}, publish: [...], subscribe: [...]}}")


@certs.command("list")
def list_(folder: _Folder = _FOLDER) -> None:
    """List what was issued: serial, kind, name, end, and whether it was revoked or has expired.

    Example: `fieldline certs list --folder certs`

    Exit codes: 0 listed, 2 there is no authority in the folder.
    """
    from fieldline_cloud.certs import Authority

    now = _now()
    for one in Authority(folder).issued():
        over = datetime.datetime.fromisoformat(one.not_after) <= now
        state = f"revoked {one.revoked_at}" if one.revoked_at else ("expired" if over else "good")
        print(f"{one.serial:<40}  {one.kind:<8}  {one.name}  until {one.not_after}  {state}")


@certs.command()
def revoke(
    which: Annotated[str, typer.Argument(help="Serial of one certificate, or a name: then all it has")],
    folder: _Folder = _FOLDER,
) -> None:
    """Revoke certificates. It takes effect once the new crl.pem is at the hub, within seconds, on open streams too.

    Example: `fieldline certs revoke gateway-1`

    Exit codes: 0 revoked, 2 there is no such certificate.
    """
    from fieldline_cloud.certs import Authority

    authority = Authority(folder)
    for one in authority.revoke(which, now=_now()):
        print(f"revoked {one.serial} of {one.name}")
    print(f"copy to the hub: {authority.crl_path}")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
