"""What the tests of a hub's access share: an authority, hubs that ask who comes, clients that say it."""

import asyncio
import datetime
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from fieldline import Runtime, Tls
from fieldline.client.channel import open_channel
from fieldline_cloud.certs import Authority
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import Client, running_hub

EDGE_7 = {"name": "edge-7", "publish": ["readings/site/edge-7/#"], "subscribe": ["commands/edge-7/#"]}
EDGE_8 = {"name": "edge-8", "publish": ["readings/site/edge-8/#"]}
AGENT = {"name": "agent", "publish": ["alerts/#"], "subscribe": ["readings/#", "alerts/#"]}


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Pki:
    """An authority with a hub's certificate, and clients' as they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "ca")
        self.authority.create("Test CA", now=now())
        self.hub = self.authority.issue_hub("hub", ["127.0.0.1", "localhost"], days=30, now=now())

    def hub_tls(self, **more: Any) -> dict[str, Any]:
        """`tls:` of a hub that wants client certificates."""
        ca, crl = str(self.authority.certificate_path), str(self.authority.crl_path)
        return {**self.hub_pair(), "client_ca": ca, "revoked": crl, **more}

    def hub_pair(self) -> dict[str, Any]:
        return {"certificate": str(self.hub / "hub.crt"), "key": str(self.hub / "hub.key")}

    def client(self, name: str, *, days: int = 30, at: datetime.datetime | None = None) -> Tls:
        folder = self.authority.issue_identity(name, days=days, now=at or now())
        return Tls(self.authority.certificate_path, folder / f"{name}.crt", folder / f"{name}.key")

    def only_ca(self) -> Tls:
        return Tls(self.authority.certificate_path)


@asynccontextmanager
async def mtls_hub(folder: Path, pki: Pki, *identities: Mapping[str, Any], **more: Any) -> AsyncIterator[Hub]:
    """A hub that lets in who has a certificate, and nobody else."""
    settings = {"tls": pki.hub_tls(), "auth": {"identities": identities, "check_every_s": 0.05}, **more}
    async with running_hub(folder, **settings) as hub:
        yield hub


@asynccontextmanager
async def token_hub(
    folder: Path, file: Path, identities: Sequence[Mapping[str, Any]], **more: Any
) -> AsyncIterator[Hub]:
    """A hub on loopback, in plaintext, that wants tokens."""
    auth = {"identities": identities, "tokens_file": file, "check_every_s": 0.05}
    async with running_hub(folder, auth=auth, **more) as hub:
        yield hub


def credentials(tls: Tls) -> grpc.ChannelCredentials:
    ca, certificate, key = (Path(one).read_bytes() if one else None for one in (tls.ca, tls.certificate, tls.key))
    return grpc.ssl_channel_credentials(ca, key, certificate)


class TlsClient(Client):
    """As Client, over TLS."""

    def __init__(self, where: str, tls: Tls) -> None:
        super().__init__(where)
        self._plain = self._channel
        self._channel = open_channel(where, credentials(tls))

    async def __aexit__(self, *errors: object) -> None:
        await super().__aexit__(*errors)
        await self._plain.close()


async def reached(where: str, tls: Tls | None, *, within_s: float = 1.0) -> bool:
    """Whether a handshake succeeds and the hub then still wants to speak with us."""
    channel = open_channel(where, credentials(tls) if tls else None)
    try:
        async with asyncio.timeout(within_s):
            await channel.channel_ready()
            check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            await check(b"")
            return True
    except TimeoutError:
        return False
    except grpc.aio.AioRpcError:
        return False
    finally:
        await channel.close()


async def publish_one(where: str, topic: str, *, name: str, tls: Tls | None = None, token: str = "") -> None:
    async with asyncio.timeout(10), Runtime(where, name=name, tls=tls, token=token, close_timeout_s=0) as runtime:
        await runtime.publish(topic, "x", stored=True)


async def subscribe_once(where: str, topic_filter: str, *, name: str, tls: Tls) -> None:
    async with (
        Runtime(where, name=name, tls=tls) as runtime,
        runtime.subscribe(topic_filter) as subscription,
    ):
        await subscription.wait_open(timeout_s=10)


def replace(path: Path, content: bytes) -> None:
    """As a careful administrator would: the whole file at once, and with a time of its own."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.chmod(path.stat().st_mode & 0o777)
    os.replace(new, path)
