"""What a client shows a hub, before any connection is made."""

from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import SecretStr

from fieldline.access import Access, Tls
from fieldline.access_settings import HubTls, hub_access
from fieldline.client.link import Link
from fieldline.config import FileSettings, loads
from fieldline.errors import ConfigError

CANARY = "flt_canary_0123456789"


def test_half_a_pair_is_refused() -> None:
    with pytest.raises(ConfigError, match="certificate is given without its key"):
        Tls(certificate="a.crt")
    with pytest.raises(ConfigError, match="key is given without its certificate"):
        Tls(key="a.key")
    with pytest.raises(ValueError, match="go together"):
        HubTls(certificate=Path("a.crt"))


def test_the_environment_says_it_all() -> None:
    access = Access.from_environment(
        {"FIELDLINE_TLS_CA": "ca", "FIELDLINE_TLS_CERT": "c", "FIELDLINE_TLS_KEY": "k", "FIELDLINE_TOKEN": "t"}
    )

    assert access == Access(Tls("ca", "c", "k"), "t")
    assert Access.from_environment({"FIELDLINE_TOKEN": "", "FIELDLINE_TLS_CA": ""}) == Access()


def test_a_token_does_not_travel_in_plaintext_to_another_machine() -> None:
    with pytest.raises(ConfigError, match="read the token") as error:
        Link("hub.plant:50051", Access(token=CANARY))

    assert CANARY not in str(error.value)
    Access(token=CANARY).check("127.0.0.1:50051")
    Access(Tls(), CANARY).check("hub.plant:50051")


@pytest.mark.parametrize("token", [f"{CANARY}\n", f"{CANARY} x", CANARY * 100, f"{CANARY}\u00e4"])
def test_a_token_that_cannot_travel_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ConfigError) as error:
        Access(token=token)

    assert "canary" not in str(error.value)


def test_a_token_is_in_no_repr() -> None:
    access = hub_access(None, SecretStr(CANARY))

    assert access.token == CANARY
    assert "canary" not in repr(access)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"TLS ca: .*none\.crt: No such file"):
        Link("127.0.0.1:1", Access(Tls(ca=tmp_path / "none.crt")))
    (tmp_path / "odd.crt").write_text("hello")
    with pytest.raises(ConfigError, match="no PEM"):
        Link("127.0.0.1:1", Access(Tls(ca=tmp_path / "odd.crt")))


class Something(FileSettings):
    KIND: ClassVar[str] = "something"
    kind: Literal["something"]
    hub_tls: HubTls | None = None
    hub_token: SecretStr | None = None


@pytest.mark.parametrize("value", [f"[{CANARY}]", f"{{{CANARY}: 1}}", "${TOKEN}\nother: 1"])
def test_a_token_is_in_no_error_about_a_file(value: str) -> None:
    text = f"kind: something\nhub_token: {value}\n"

    with pytest.raises(ConfigError) as error:
        loads(text, Something, name="some.yaml", environment={"TOKEN": CANARY})

    assert "canary" not in str(error.value)


def test_a_token_is_in_no_dump_of_the_settings() -> None:
    settings = loads("kind: something\nhub_token: ${TOKEN}\n", Something, name="x", environment={"TOKEN": CANARY})

    assert CANARY not in settings.model_dump_json() + repr(settings)
    assert hub_access(settings.hub_tls, settings.hub_token).token == CANARY
