"""The authority in a folder."""

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from fieldline.errors import BadName, ConfigError
from fieldline_cloud.certs import Authority

NOW = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "ca")
    made.create("Test CA", now=NOW)
    return made


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_keys_are_their_owners_alone(authority: Authority) -> None:
    folder = authority.issue_identity("edge-7", days=30, now=NOW)

    for key in (authority.folder / "ca.key", folder / "edge-7.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_an_identity_is_written_into_its_certificate(authority: Authority) -> None:
    certificate = load(authority.issue_identity("edge-7", days=30, now=NOW) / "edge-7.crt")

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["fieldline://identity/edge-7"]
    assert certificate.not_valid_after_utc == NOW + datetime.timedelta(days=30)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(load(authority.certificate_path))


def test_a_hub_has_the_addresses_it_is_called_by(authority: Authority) -> None:
    certificate = load(authority.issue_hub("hub", ["hub.plant", "10.0.0.5", "::1"], days=90, now=NOW) / "hub.crt")

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hub.plant"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.5", "::1"]


def test_what_is_revoked_is_on_the_list_and_by_name_all_is(authority: Authority) -> None:
    authority.issue_identity("edge-7", days=30, now=NOW)
    authority.issue_identity("edge-7", days=30, now=NOW)
    authority.issue_identity("edge-8", days=30, now=NOW)

    gone = authority.revoke("edge-7", now=NOW)

    assert len(gone) == 2
    crl = x509.load_pem_x509_crl(authority.crl_path.read_bytes())
    assert {f"{one.serial_number:x}" for one in crl} == {one.serial for one in gone}
    assert [bool(one.revoked_at) for one in authority.issued()] == [True, True, False]
    with pytest.raises(ConfigError, match="no unrevoked"):
        authority.revoke("edge-7", now=NOW)


def test_an_authority_is_never_made_over_another(authority: Authority) -> None:
    before = authority.certificate_path.read_bytes()

    with pytest.raises(ConfigError, match="already"):
        authority.create("Test CA", now=NOW)

    assert authority.certificate_path.read_bytes() == before


def test_wrong_wishes_are_refused(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(BadName):
        authority.issue_identity("../x", days=1, now=NOW)
    with pytest.raises(ConfigError, match="--days"):
        authority.issue_identity("x", days=10_000, now=NOW)
    with pytest.raises(ConfigError, match="--address"):
        authority.issue_hub("hub", [], days=1, now=NOW)
    with pytest.raises(ConfigError, match="certs init"):
        Authority(tmp_path / "nowhere").issue_identity("x", days=1, now=NOW)
    assert authority.issued() == []
