"""A small certificate authority in a folder: enough for a plant's hub and its clients, no more.

The folder holds ca.crt and ca.key, one folder for every certificate issued (its .crt and .key), index.json (what was
issued), and crl.pem (what was revoked). An identity is written into its certificate as the URI
fieldline://identity/NAME. Keys are P-256 and readable by their owner alone.
"""

import datetime
import ipaddress
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fieldline.errors import ConfigError
from fieldline.topics import check_name

__all__ = ["IDENTITY_URI", "Authority", "Issued"]

IDENTITY_URI = "fieldline://identity/"

DAYS_MAX = 825
_CA_DAYS = 3650
# A clock that is a little behind must not refuse a certificate that was made just now.
_BACKDATE = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Issued:
    """One line of the index. Times are ISO 8601 in UTC; `revoked_at` empty: it is not."""

    serial: str
    kind: str
    name: str
    not_after: str
    revoked_at: str = ""


class Authority:
    """The authority in `folder`. `now` is handed in; methods raise ConfigError for what the caller can mend."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate_path = folder / "ca.crt"
        self.crl_path = folder / "crl.pem"
        self._key_path = folder / "ca.key"
        self._index_path = folder / "index.json"

    def create(self, name: str, *, now: datetime.datetime) -> None:
        """Make the authority: its key, certificate and an empty revocation list. Never over an existing one."""
        if self._key_path.exists() or self.certificate_path.exists():
            raise ConfigError(f"{self.folder}: holds an authority already; every client trusts it. Choose another")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = _usage(signs=True)
        public = key.public_key()
        certificate = (
            _builder(subject, subject, public, now, _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, hashes.SHA256())
        )
        self._make_folder(self.folder)
        _write(self._key_path, _key_pem(key), 0o600)
        _write(self.certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        self._save([], now)

    def issue_hub(self, name: str, addresses: Sequence[str], *, days: int, now: datetime.datetime) -> Path:
        """A certificate for a hub that is reached under these DNS names and IP addresses; returns its folder."""
        if not addresses:
            raise ConfigError("give at least one --address: the names and IP addresses clients call the hub by")
        names = x509.SubjectAlternativeName([_general_name(one) for one in addresses])
        return self._issue("hub", name, names, ExtendedKeyUsageOID.SERVER_AUTH, days, now)

    def issue_identity(self, name: str, *, days: int, now: datetime.datetime) -> Path:
        """A certificate for a client of that identity; returns its folder."""
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(IDENTITY_URI + check_name(name))])
        return self._issue("identity", name, names, ExtendedKeyUsageOID.CLIENT_AUTH, days, now)

    def issued(self) -> list[Issued]:
        """Everything this authority has issued, oldest first."""
        try:
            return [Issued(**record) for record in json.loads(self._index_path.read_text())]
        except FileNotFoundError:
            raise self._missing() from None
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{self._index_path}: cannot be used: {error}") from error

    def revoke(self, which: str, *, now: datetime.datetime) -> list[Issued]:
        """Revoke a certificate by serial, or all that a name has; returns those that were still good."""
        index = self.issued()
        chosen = [one for one in index if not one.revoked_at and which in (one.serial, one.name)]
        if not chosen:
            raise ConfigError(f"{self.folder}: has no unrevoked certificate {which[:80]!r}; see 'fieldline certs list'")
        stamp = _iso(now)
        self._save([_revoked(one, stamp) if one in chosen else one for one in index], now)
        return chosen

    def _issue(
        self,
        kind: str,
        name: str,
        names: x509.SubjectAlternativeName,
        purpose: x509.ObjectIdentifier,
        days: int,
        now: datetime.datetime,
    ) -> Path:
        check_name(name)
        if not 1 <= days <= DAYS_MAX:
            raise ConfigError(f"--days {days}: must be 1 to {DAYS_MAX}; renew rather than issue for ever")
        index, (ca_key, ca) = self.issued(), self._load()
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, ca.subject, key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(names, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(_ec_public(ca.public_key())), critical=False
            )
            .sign(ca_key, hashes.SHA256())
        )
        # Known before it exists: a certificate that is not in the index could never be revoked.
        record = Issued(f"{certificate.serial_number:x}", kind, name, _iso(certificate.not_valid_after_utc))
        self._save([*index, record], now)
        folder = self.folder / kind / name
        self._make_folder(folder)
        _write(folder / f"{name}.key", _key_pem(key), 0o600)
        _write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return folder

    def _load(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        try:
            key = serialization.load_pem_private_key(self._key_path.read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        except FileNotFoundError:
            raise self._missing() from None
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{self.folder}: its ca.key or ca.crt cannot be used: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"{self._key_path}: is not a key that 'fieldline certs init' has made")
        return key, certificate

    def _save(self, index: list[Issued], now: datetime.datetime) -> None:
        """Write the index and the revocation list that follows from it."""
        key, ca = self._load()
        crl = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(ca.subject)
            .last_update(now - _BACKDATE)
            .next_update(now + datetime.timedelta(days=_CA_DAYS))
        )
        for one in index:
            if one.revoked_at:
                crl = crl.add_revoked_certificate(
                    x509.RevokedCertificateBuilder()
                    .serial_number(int(one.serial, 16))
                    .revocation_date(datetime.datetime.fromisoformat(one.revoked_at))
                    .build()
                )
        pem = crl.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        _write(self._index_path, json.dumps([asdict(one) for one in index], indent=1).encode() + b"\n", 0o600)
        _write(self.crl_path, pem, 0o644)

    def _missing(self) -> ConfigError:
        return ConfigError(f"{self.folder}: holds no authority; make one with 'fieldline certs init'")

    @staticmethod
    def _make_folder(folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be made: {error.strerror}; choose another folder") from error


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        pass
    try:
        return x509.DNSName(address)
    except ValueError as error:
        raise ConfigError(f"--address {address!r}: is neither a DNS name nor an IP address") from error


def _ec_public(key: object) -> ec.EllipticCurvePublicKey:
    assert isinstance(key, ec.EllipticCurvePublicKey), type(key)
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _revoked(one: Issued, stamp: str) -> Issued:
    return Issued(one.serial, one.kind, one.name, one.not_after, stamp)


def _iso(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).isoformat(timespec="seconds")


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace the file as a whole, and never have it readable by others for a moment."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; choose a folder you may write to") from error
