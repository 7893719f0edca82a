"""Carries out what people ask of the learned layer. Pure: a request's bytes in, the reply as plain data out."""

import json
from collections.abc import Mapping
from typing import Any, Final

from fieldline.errors import BadName
from fieldline.model import DeviceId
from fieldline_cloud.agents.anomaly.watch import Watch

__all__ = ["DETECTORS_TOPIC", "DetectorDesk"]

DETECTORS_TOPIC: Final = "ask/detectors"
"""Where people ask. Every anomaly agent answers, for the devices it holds."""
_REQUEST_BYTES_MAX: Final = 4_096
_THRESHOLDS_MAX: Final = 1_000


class DetectorDesk:
    """Answers `{"do": "precision"}`, `{"do": "thresholds"}` and `{"do": "relearn", "device": ..., "tag": ...}`."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def answer(self, content: bytes, now_ns: int) -> dict[str, Any]:
        """The reply: `status` is done or refused; a refusal has `code` and `message`."""
        try:
            request = json.loads(content[:_REQUEST_BYTES_MAX])
        except ValueError:
            return _refused("bad_request", "the request is no JSON of at most 4096 bytes")
        wanted = request.get("do") if isinstance(request, dict) else None
        if wanted == "precision":
            return {"status": "done", "detectors": self._precision()}
        if wanted == "thresholds":
            return {"status": "done", "thresholds": self._thresholds(now_ns)}
        if wanted == "relearn":
            return self._relearn(request)
        return _refused("bad_request", f"do is {wanted!r}; it is precision, thresholds or relearn")

    def _precision(self) -> list[dict[str, Any]]:
        tally = self._watch.tally
        return [
            {
                "detector": detector,
                "raised": tally.raised[detector],
                "confirmed": tally.confirmed[detector],
                "false_alarms": tally.refuted[detector],
            }
            for detector in sorted(tally.raised | tally.confirmed | tally.refuted)
        ]

    def _thresholds(self, now_ns: int) -> list[dict[str, Any]]:
        factors = ((tuned.factor(now_ns), tuned.fingerprint) for tuned in self._watch.thresholds.all())
        return [
            {"fingerprint": fingerprint, "factor": round(factor, 4)}
            for factor, fingerprint in sorted(factors, key=lambda each: -abs(each[0] - 1.0))[:_THRESHOLDS_MAX]
        ]

    def _relearn(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            device = DeviceId(*str(request.get("device", "")).split("/"))
        except (BadName, TypeError) as error:
            return _refused("bad_request", f"device must be site/area/device: {error}")
        if not self._watch.relearn(device, str(request.get("tag", ""))):
            return _refused("unknown", f"nothing is learned of {device} {request.get('tag', '')}".rstrip())
        return {"status": "done"}


def _refused(code: str, message: str) -> dict[str, Any]:
    return {"status": "refused", "code": code, "message": message}
