"""The hub's certificates: read from files, checked, and read again when the files change, while the hub runs."""

import datetime
import logging
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fieldline.errors import ConfigError
from fieldline_cloud.certs import IDENTITY_URI
from fieldline_cloud.hub.settings import TlsSettings

__all__ = ["ClientCertificate", "RevocationList", "ServerCertificates", "client_certificate"]

log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a client's certificate says: its identity (empty: none), its serial, and its end in Unix seconds."""

    identity: str
    serial: int
    not_after_s: float


@lru_cache(maxsize=1024)
def client_certificate(pem: bytes) -> ClientCertificate:
    """Read a certificate that TLS has verified already. Of several identities in one none counts."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    identities = [uri.removeprefix(IDENTITY_URI) for uri in uris if uri.startswith(IDENTITY_URI)]
    identity = identities[0] if len(identities) == 1 else ""
    return ClientCertificate(identity, certificate.serial_number, certificate.not_valid_after_utc.timestamp())


class ServerCertificates:
    """What the hub shows and whom it trusts. Raises ConfigError if the files cannot be used at the start.

    Later, files that cannot be used leave what was there in force, and the log says so once.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._files = [one for one in (settings.certificate, settings.key, settings.client_ca) if one]
        self._lock = threading.Lock()  # handshakes ask in gRPC's threads
        self._stamp = _stamp(self._files)
        self._pair, self._client_ca, self.not_after_s = self._read()
        self._version = 1
        self.failures = 0
        """Changed files that could not be used."""

    def ends_s(self) -> float:
        """When the certificate that is shown now ends, in Unix seconds. Looks at the files."""
        with self._lock:
            self._refresh()
        return self.not_after_s

    def credentials(self, *, ask_client: bool) -> grpc.ServerCredentials:
        """Credentials for one listening address; with `ask_client`, a client must show a certificate of our CA."""
        shown = self._version

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            with self._lock:
                self._refresh()
                if shown == self._version:
                    return None  # unchanged
                shown = self._version
                return self._configuration(ask_client)

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(ask_client),
            fetch,  # type: ignore[arg-type]  # None says "unchanged", which the stubs do not know
            require_client_authentication=ask_client,
        )

    def _configuration(self, ask_client: bool) -> grpc.ServerCertificateConfiguration:
        roots = self._client_ca if ask_client else None
        return grpc.ssl_server_certificate_configuration([self._pair], root_certificates=roots)

    def _refresh(self) -> None:
        stamp = _stamp(self._files)
        if stamp in (self._stamp, ()):
            return
        self._stamp = stamp
        try:
            self._pair, self._client_ca, self.not_after_s = self._read()
        except ConfigError as error:
            self.failures += 1
            log.error("changed certificates cannot be used, the hub goes on with the old ones: %s", error)
            return
        self._version += 1
        log.info("certificates have changed; new connections get the new ones")

    def _read(self) -> tuple[tuple[bytes, bytes], bytes | None, float]:
        settings = self._settings
        chain, key = _read(settings.certificate, "certificate"), _read(settings.key, "key")
        if settings.key.stat().st_mode & 0o007:
            raise ConfigError(f"tls.key: {settings.key}: everybody may read it; run: chmod 600 {settings.key}")
        client_ca = _read(settings.client_ca, "client_ca") if settings.client_ca else None
        try:
            certificate = x509.load_pem_x509_certificate(chain)
            fits = load_pem_private_key(key, None).public_key() == certificate.public_key()
            if client_ca:
                x509.load_pem_x509_certificates(client_ca)
        except (ValueError, TypeError):
            # What the library says is for its makers, and might repeat what is in the file.
            files = ", ".join(map(str, self._files))
            raise ConfigError(f"tls: one of {files} is not a PEM file of its kind; check them") from None
        if not fits:
            raise ConfigError(f"tls: {settings.key} is not the key of {settings.certificate}; copy both again")
        if certificate.not_valid_after_utc <= datetime.datetime.now(datetime.UTC):
            log.error(
                "the hub's certificate has expired, so no client will connect",
                extra={"file": str(settings.certificate)},
            )
        return (key, chain), client_ca, certificate.not_valid_after_utc.timestamp()


class RevocationList:
    """Serials a CRL names. Checked against the CA that clients are checked against; read again when it changes."""

    def __init__(self, path: Path, client_ca: Path) -> None:
        self._path = path
        self._client_ca = client_ca
        self._stamp = _stamp([path])
        self._serials = self._read()
        self.failures = 0
        """Changed lists that could not be used."""

    def __contains__(self, serial: int) -> bool:
        return serial in self._serials

    def refresh(self) -> None:
        """Look at the file's time. A list that cannot be used leaves the last good one in force."""
        stamp = _stamp([self._path])
        if stamp in (self._stamp, ()):
            return
        self._stamp = stamp
        try:
            self._serials = self._read()
        except ConfigError as error:
            self.failures += 1
            log.error("changed revocation list cannot be used, the old one stays in force: %s", error)

    def _read(self) -> frozenset[int]:
        content, roots = _read(self._path, "revoked"), _read(self._client_ca, "client_ca")
        try:
            crl = x509.load_pem_x509_crl(content)
            issuers = [one for one in x509.load_pem_x509_certificates(roots) if one.subject == crl.issuer]
            signed = any(crl.is_signature_valid(one.public_key()) for one in issuers)  # type: ignore[arg-type]  # of a CA
        except (ValueError, TypeError):
            raise ConfigError(f"tls.revoked: {self._path}: is not a revocation list in PEM; copy crl.pem") from None
        if not signed:
            raise ConfigError(f"tls.revoked: {self._path}: was not signed by {self._client_ca}; copy its own crl.pem")
        return frozenset(one.serial_number for one in crl)


def _stamp(files: list[Path]) -> Stamp:
    """What changes when a file is replaced; empty while one is missing (in the middle of being replaced, say)."""
    try:
        found = [name.stat() for name in files]
    except OSError:
        return ()
    return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"tls.{key}: {path}: cannot be read: {error.strerror}; check path and owner") from error
