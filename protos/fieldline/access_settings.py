"""The part of a configuration file that says how to reach a hub: shared by the gateway and the agents."""

from pathlib import Path
from typing import Self

from pydantic import SecretStr, model_validator

from fieldline.access import Access, Tls
from fieldline.config import Settings

__all__ = ["HubTls", "hub_access"]


class HubTls(Settings):
    """Encryption on the way to the hub. Files are PEM; renewed ones are used from the next connection on."""

    ca: Path | None = None
    """Certificate of the authority that signed the hub's; left out: the authorities the system trusts."""
    certificate: Path | None = None
    """Our own certificate, for a hub that asks for one. Goes with `key`."""
    key: Path | None = None
    """Private key of our certificate."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together; give both, or neither")
        return self


def hub_access(tls: HubTls | None, token: SecretStr | None) -> Access:
    """What the settings say, as the SDK takes it. Raises ConfigError for a token that cannot be one."""
    return Access(
        Tls(tls.ca, tls.certificate, tls.key) if tls else None,
        token.get_secret_value() if token else "",
    )
