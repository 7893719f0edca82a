"""The lobby: which streams are open, from where, and which of them have not said hello yet. Pure: time is handed in.

Whoever opens streams and says nothing fills the lobby and nothing else. When it is full, those go that have been silent
longest, of the address that has most of them there: so somebody who says hello at once gets in even in a flood. Nobody
goes before it had a second for its hello: all clients of a hub that was restarted come back in the same moment.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["GRACE_S", "Lobby"]

S = TypeVar("S", bound=Hashable)

GRACE_S = 1.0
"""What a stream gets for its hello, however full it is."""


@dataclass(slots=True)
class Lobby(Generic[S]):
    """Counts open streams against three bounds. A stream is anything hashable; `host` is the address it comes from."""

    streams_max: int
    streams_per_peer_max: int
    half_open_max: int
    _hosts: dict[S, str] = field(default_factory=dict, init=False)
    _of_host: dict[str, int] = field(default_factory=dict, init=False)
    _silent: dict[str, dict[S, float]] = field(default_factory=dict, init=False)
    _half_open: int = field(default=0, init=False)

    def __len__(self) -> int:
        """Open streams."""
        return len(self._hosts)

    @property
    def half_open(self) -> int:
        """Open streams that have not said hello."""
        return self._half_open

    def why_full(self, host: str) -> str:
        """Why no further stream may come from there; empty if one may."""
        if len(self._hosts) >= self.streams_max:
            return f"the hub already has {self.streams_max} open streams; raise limits.streams_max in hub.yaml"
        if self._of_host.get(host, 0) >= self.streams_per_peer_max:
            return (
                f"{self.streams_per_peer_max} streams are open from {host} already; share them between tasks, or raise "
                "limits.streams_per_peer_max in hub.yaml (many clients behind one address need that)"
            )
        return ""

    def enter(self, stream: S, host: str, now_s: float) -> list[S]:
        """A stream has been opened. Returns those that must go, because too many have said nothing."""
        assert stream not in self._hosts
        self._hosts[stream] = host
        self._of_host[host] = self._of_host.get(host, 0) + 1
        self._silent.setdefault(host, {})[stream] = now_s
        self._half_open += 1
        gone: list[S] = []
        while self._half_open > self.half_open_max:
            oldest, since_s = next(iter(max(self._silent.values(), key=len).items()))
            if now_s - since_s < GRACE_S:
                break
            self.greeted(oldest)  # counted out now: it may take a moment to go
            gone.append(oldest)
        return gone

    def greeted(self, stream: S) -> None:
        """It has said hello. Asking twice changes nothing."""
        host = self._hosts[stream]
        silent = self._silent.get(host, {})
        if stream not in silent:
            return
        del silent[stream]
        if not silent:
            del self._silent[host]
        self._half_open -= 1

    def leave(self, stream: S) -> None:
        """It has ended, with or without a hello."""
        self.greeted(stream)
        host = self._hosts.pop(stream)
        self._of_host[host] -= 1
        if not self._of_host[host]:
            del self._of_host[host]
