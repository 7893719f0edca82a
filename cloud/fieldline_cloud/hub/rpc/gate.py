"""The gate: who a caller is, whether it may come in, and whether it may stay.

The identity comes from the certificate TLS has verified, or else from the token in the call's metadata; never from what
a message says. Without `auth` in hub.yaml everybody who gets here may do everything.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldline.errors import ConfigError
from fieldline_cloud.hub.core.access import Account, Accounts, Claims
from fieldline_cloud.hub.core.audit import Repeats
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.grants import GrantsFile
from fieldline_cloud.hub.settings import HubSettings
from fieldline_cloud.hub.tls import ClientCertificate, RevocationList, client_certificate
from fieldline_cloud.tokens import Token, TokenBook, read_tokens

__all__ = ["Caller", "Gate"]

log = logging.getLogger(__name__)
audit = logging.getLogger("fieldline.audit")

_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened a stream, and what shows it. `account` is None where hub.yaml has no `auth`."""

    name: str
    account: Account | None = None
    certificate: ClientCertificate | None = None
    token: Token | None = None


class Gate:
    """Lets callers in and looks after them. Raises ConfigError if tokens or revocation list cannot be used.

    `config` is the file the settings came from: its identities are read again when it changes.
    """

    def __init__(
        self, settings: HubSettings, *, config: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        auth, tls = settings.auth, settings.tls
        self._clock = clock
        self._accounts = Accounts(one.identity() for one in auth.identities) if auth else None
        self._tokens = _TokensFile(auth.tokens_file) if auth and auth.tokens_file else None
        self._revoked = RevocationList(tls.revoked, tls.client_ca) if tls and tls.revoked and tls.client_ca else None
        self._grants = GrantsFile(config) if auth and config else None
        self._repeats = Repeats()

    @property
    def reload_failures(self) -> dict[str, int]:
        """Changed files that could not be used, by what is in them."""
        files = {"grants": self._grants, "tokens": self._tokens, "revoked": self._revoked}
        return {what: file.failures for what, file in files.items() if file is not None}

    def admit(self, context: Any) -> Caller:
        """Who calls. Raises HubRefusal for somebody nobody knows."""
        self.refresh()
        caller = self._identify(context)
        if why := self.why_not(caller):
            raise HubRefusal.unauthenticated(why)
        if self._accounts is None:
            return caller
        if not caller.name:
            raise HubRefusal.unauthenticated(self._cure())
        account = self._accounts.get(caller.name)
        if account is None:
            raise HubRefusal.denied(f"identity {caller.name!r} is not known; add it to auth.identities in hub.yaml")
        if why := account.why_no_stream():
            raise HubRefusal.too_many_streams(why)
        return Caller(caller.name, account, caller.certificate, caller.token)

    def refresh(self) -> None:
        """Read tokens and revocation list again if their files have changed."""
        for each in (self._tokens, self._revoked):
            if each is not None:
                each.refresh()

    async def read_grants(self, *, even_unchanged: bool = False) -> bool:
        """Take the identities of hub.yaml, if it has changed. Returns whether they are others now."""
        if self._grants is None or self._accounts is None:
            return False
        file = self._grants
        identities = await asyncio.to_thread(lambda: file.read(even_unchanged=even_unchanged))
        if identities is None:
            return False
        self._accounts.become(identities)
        log.info("grants were read again", extra={"identities": len(identities)})
        return True

    def why_leave(self, caller: Caller, claims: Claims) -> HubRefusal | None:
        """Why a stream opened with these claims must end: its caller is nobody any more, or may not do that now."""
        if why := self.why_not(caller):
            return HubRefusal.unauthenticated(why)
        if caller.account is not None and (why := caller.account.why_not(claims)):
            return HubRefusal.denied(why)
        return None

    def why_not(self, caller: Caller) -> str:
        """Why this caller must go (revoked, expired); empty if it may stay."""
        now_s = self._clock()
        certificate, token = caller.certificate, caller.token
        if certificate is not None:
            if self._revoked is not None and certificate.serial in self._revoked:
                return f"the certificate of {certificate.identity!r} was revoked; issue a new one"
            if now_s >= certificate.not_after_s:
                return f"the certificate of {certificate.identity!r} has expired; issue a new one"
        if token is not None and self._tokens is not None:
            return self._tokens.book.why_not(token, now_s)
        return ""

    def note_refusal(self, refusal: HubRefusal, caller: Caller | None, peer: str) -> None:
        """Write the audit line of a refusal that is about access."""
        if not refusal.is_about_access:
            return
        host = peer.rpartition(":")[0]
        who = caller.name if caller and caller.name else host
        unsaid = self._repeats.worth_saying(who, refusal.name, time.monotonic())
        if unsaid is not None:
            fields = {"identity": caller.name if caller else "", "peer": peer, "code": refusal.name, "repeats": unsaid}
            audit.warning("refused: %s", refusal, extra=fields)

    def _identify(self, context: Any) -> Caller:
        pem = context.auth_context().get("x509_pem_cert")
        if pem:
            certificate = client_certificate(pem[0])
            return Caller(certificate.identity, certificate=certificate)
        text = _bearer(context.invocation_metadata() or ())
        if not text or self._tokens is None:
            return Caller("")
        token = self._tokens.book.find(text)
        if token is None:
            raise HubRefusal.unauthenticated("the token is not known here, or was revoked; ask for a new one")
        return Caller(token.identity, token=token)

    def _cure(self) -> str:
        if self._tokens is None:
            return "this hub needs a client certificate with an identity; see 'fieldline certs issue identity'"
        return "this hub needs a token (or, where it asks for one, a client certificate); see 'fieldline tokens issue'"


class _TokensFile:
    """A tokens file that is read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()
        self.failures = 0
        self.book = TokenBook(read_tokens(path))

    def refresh(self) -> None:
        stamp = self._look()
        if stamp is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.book = TokenBook(read_tokens(self._path))
        except ConfigError as error:
            self.failures += 1
            log.error("changed tokens cannot be used, the old ones stay in force: %s", error)

    def _look(self) -> tuple[int, int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None  # in the middle of being replaced, say
        return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)


def _bearer(metadata: Any) -> str:
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str) and value[: len(_BEARER)].lower() == _BEARER:
            return value[len(_BEARER) :]
    return ""
