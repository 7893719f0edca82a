"""Whether certificates look not yet valid, which on a machine with a wrong clock is the clock's fault."""

import ssl
from collections.abc import Iterable
from pathlib import Path

__all__ = ["valid_from_s"]


def valid_from_s(files: Iterable[Path]) -> float | None:
    """Unix time from which all authorities in these PEM files are valid; None if none of them says.

    What cannot be read is no matter of ours: who connects says so.
    """
    latest: float | None = None
    for file in files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cafile=file)
        except (OSError, ssl.SSLError):
            continue
        for certificate in context.get_ca_certs():
            begins_s = float(ssl.cert_time_to_seconds(str(certificate["notBefore"])))
            latest = begins_s if latest is None else max(latest, begins_s)
    return latest
