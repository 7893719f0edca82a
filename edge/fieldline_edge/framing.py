"""Makes frames of batches. Pure: the time is handed in."""

from collections.abc import Iterator
from dataclasses import dataclass

from fieldline.errors import LimitError
from fieldline.limits import FRAME_BYTES_MAX
from fieldline.model import Alert, DeviceId, Reading
from fieldline.wire.frames import ENCODING_READINGS, build_frame, close_messages
from fieldline.wire.plant import encode_alert
from fieldline.wire.readings import ReadingEncoder
from fieldline_edge.batcher import Batch
from fieldline_edge.spool.policy import Entry

__all__ = ["Framed", "Framer", "frame_alert"]

_SPOOL_FIELDS_BYTES_MAX = 64  # sequence and gap are joined on by the spool


@dataclass(frozen=True, slots=True)
class Framed:
    """What became of a batch: frames ready for the spool, and readings that no frame can hold (with the reason)."""

    entries: list[Entry]
    refused: int = 0
    reason: str = ""


class Framer:
    """Encodes batches. Keeps one encoder for each device, which learns how its tags are best written."""

    def __init__(self, *, level: int = 3) -> None:
        self._level = level
        self._encoders: dict[DeviceId, ReadingEncoder] = {}

    def forget(self, device: DeviceId) -> None:
        """The device is gone: what was learned of its tags may go too."""
        self._encoders.pop(device, None)

    def frame(self, batch: Batch, *, now_ns: int) -> Framed:
        """Frames of one batch, in order. A batch over the codec's limits is split until every part fits."""
        entries: list[Entry] = []
        refused, reason = 0, ""
        for part, result in self._parts(batch.device, batch.readings, now_ns):
            if isinstance(result, bytes):
                entries.append(Entry(result, len(part), now_ns))
            else:
                refused += len(part)
                reason = reason or f"tag {part[0].tag[:64]!r} of {batch.device}: {result}"
        return Framed(entries, refused, reason)

    def _parts(
        self, device: DeviceId, readings: tuple[Reading, ...], now_ns: int
    ) -> Iterator[tuple[tuple[Reading, ...], bytes | LimitError]]:
        try:
            yield readings, self._encode(device, readings, now_ns)
        except LimitError as error:
            if len(readings) == 1:
                yield readings, error
                return
            middle = len(readings) // 2
            yield from self._parts(device, readings[:middle], now_ns)
            yield from self._parts(device, readings[middle:], now_ns)

    def _encode(self, device: DeviceId, readings: tuple[Reading, ...], now_ns: int) -> bytes:
        encoder = self._encoders.get(device)
        if encoder is None:
            encoder = self._encoders[device] = ReadingEncoder(level=self._level)
        frame = build_frame(
            topic=device.readings_topic,
            key=device.device,
            sequence=0,  # numbered by the spool, in the transaction that makes it safe
            count=len(readings),
            encoding=ENCODING_READINGS,
            body=encoder.encode(readings),
            published_at_ns=now_ns,
        )
        if len(frame) > FRAME_BYTES_MAX - _SPOOL_FIELDS_BYTES_MAX:
            raise LimitError(f"frame of {device} has {len(frame)} bytes; {FRAME_BYTES_MAX} are allowed")
        return frame


def frame_alert(alert: Alert, *, now_ns: int) -> Entry:
    """One alert as a frame of its own on alerts/<site>/<area>/<device>, as an agent would publish it.

    It holds no reading: the spool's ledger counts readings, and alerts are none. LimitError if it cannot be encoded.
    """
    encoding, body = close_messages([encode_alert(alert)], {}, compress_from_bytes=None)
    frame = build_frame(
        topic=alert.device.alerts_topic,
        key=alert.device.device,
        sequence=0,  # numbered by the spool
        count=1,
        encoding=encoding,
        body=body,
        published_at_ns=now_ns,
    )
    return Entry(frame, 0, now_ns, urgent=True)
