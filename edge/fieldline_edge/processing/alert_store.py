"""The alerts that are raised now, in a small file beside the spool, so that a restart raises nothing twice.

An alert goes into the spool first and into this file afterwards. A kill in between (milliseconds) raises the same alarm
once more, as an alert with a later time; the hub's agents see one fingerprint raised again, and no task is made twice.
"""

import base64
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from fieldline.errors import DecodeError
from fieldline.model import Alert
from fieldline.wire.plant import decode_alert, encode_alert
from fieldline_edge.processing.whole_file import write_whole

__all__ = ["BYTES_MAX", "load_alerts", "save_alerts"]

log = logging.getLogger(__name__)

BYTES_MAX: Final = 64 << 20
"""A longer file is none of ours."""


def load_alerts(path: Path) -> list[Alert]:
    """What was raised when the file was written. A file that cannot be read is moved aside and said: it costs alerts
    that are raised twice, and no reading.
    """
    try:
        if path.stat().st_size > BYTES_MAX:
            raise ValueError(f"is larger than {BYTES_MAX} bytes")
        texts = json.loads(path.read_bytes())["raised"]
        return [decode_alert(base64.b64decode(text, validate=True)) for text in texts]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, DecodeError, RecursionError) as error:
        aside = path.with_suffix(".unreadable")
        log.error("alerts that were raised cannot be read; moved to %s: %s", aside, error, extra={"path": str(path)})
        try:
            path.replace(aside)
        except OSError as again:
            log.error("it cannot be moved: %s", again)
        return []


def save_alerts(path: Path, alerts: Iterable[Alert]) -> None:
    """Write them whole or not at all; OSError if the disk does not take it, and then the old file is still there."""
    content = json.dumps({"raised": [base64.b64encode(encode_alert(alert)).decode() for alert in alerts]})
    write_whole(path, [content])
