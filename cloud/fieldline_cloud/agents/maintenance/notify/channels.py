"""The ways to tell somebody: a signed webhook, and whatever Apprise can reach. Blocking; run them in a thread."""

import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final, Protocol

from fieldline.errors import ConfigError
from fieldline_cloud.agents.maintenance.notify.message import Delivery
from fieldline_cloud.agents.maintenance.notify.settings import ChannelSettings

__all__ = ["AppriseChannel", "Channel", "NotDelivered", "WebhookChannel", "build_channels", "signature"]

_SAID_BYTES_MAX: Final = 200


class NotDelivered(Exception):
    """The message was not taken; it is tried again. The text names no secret."""


class Channel(Protocol):
    """One way to tell somebody."""

    def send(self, delivery: Delivery, now_ns: int) -> None:
        """Say it. NotDelivered if nobody took it."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What `X-Fieldline-Signature` holds: HMAC-SHA256 over timestamp, a dot, and the body, as hexadecimal digits.

    The receiver works it out again with the secret it shares with us, and refuses old timestamps.
    """
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


class WebhookChannel:
    """POST of JSON, signed. Any 2xx is taken as delivered; redirects are not followed."""

    def __init__(self, url: str, secret: str, *, timeout_s: float) -> None:
        self._url = url
        self._secret = secret
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect())

    def send(self, delivery: Delivery, now_ns: int) -> None:
        """Say it. NotDelivered if the answer is no 2xx, or there is none."""
        body = json.dumps(
            {
                "key": delivery.key,
                "kind": delivery.kind.value,
                "task": delivery.task,
                "technician": delivery.technician,
                "severity": delivery.severity.name.lower(),
                "title": delivery.title,
                "body": delivery.body,
                "round": delivery.round,
            }
        ).encode()
        timestamp = str(now_ns // 1_000_000_000)
        headers = {
            "Content-Type": "application/json",
            "X-Fieldline-Timestamp": timestamp,
            "X-Fieldline-Signature": signature(self._secret, timestamp, body),
        }
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                answer.read(_SAID_BYTES_MAX)
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
            raise NotDelivered(f"the receiver answered {status}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotDelivered(f"the receiver did not answer: {type(error).__name__}") from None


class AppriseChannel:
    """Whatever Apprise reaches: mail, chat, SMS, push. Loaded when first used."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, delivery: Delivery, now_ns: int) -> None:
        """Say it. NotDelivered if Apprise could not, or is not installed."""
        try:
            import apprise  # an optional extra
        except ModuleNotFoundError as error:
            raise NotDelivered("apprise is not installed; run: pip install 'fieldline[notify]'") from error
        sender = apprise.Apprise()
        if not sender.add(self._url):
            raise NotDelivered("Apprise does not know this kind of URL; see its list of services")
        if not sender.notify(body=delivery.body, title=delivery.title, body_format=apprise.NotifyFormat.TEXT):
            raise NotDelivered("the service did not take it")


def build_channels(settings: Mapping[str, ChannelSettings], *, timeout_s: float) -> dict[str, Channel]:
    """The channels these settings describe; ConfigError names one that is empty, as an unset variable leaves it."""
    built: dict[str, Channel] = {}
    for name, channel in settings.items():
        if channel.webhook is not None and channel.secret is not None:
            if not channel.secret.get_secret_value():
                raise ConfigError(f"notify.channels.{name}.secret: is empty; set the variable it comes from")
            built[name] = WebhookChannel(channel.webhook, channel.secret.get_secret_value(), timeout_s=timeout_s)
        elif channel.apprise is not None:
            if not channel.apprise.get_secret_value():
                raise ConfigError(f"notify.channels.{name}.apprise: is empty; set the variable it comes from")
            built[name] = AppriseChannel(channel.apprise.get_secret_value())
    return built


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the message to a place that is not in the file."""

    def redirect_request(self, *_: object) -> None:
        return None
