"""/metrics and /healthz over HTTP for any Fieldline process: one small thread, plain numbers read at scrape time."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.registry import Collector, CollectorRegistry

from fieldline.addresses import is_loopback, split_address
from fieldline.errors import ConfigError

__all__ = ["MetricsServer", "is_loopback", "scrape", "split_address"]

_SCRAPE_TIMEOUT_S = 1.0


class MetricsServer:
    """Serves `collector` at /metrics and `health()` as JSON at /healthz (status 503 when its "ok" is false).

    `page(path, query)` gives content type and content of any other path, or None; it is called in the server's thread.
    """

    def __init__(
        self,
        address: str,
        collector: Collector,
        health: Callable[[], Mapping[str, Any]],
        page: Callable[[str, str], tuple[str, bytes] | None] = lambda path, query: None,
    ) -> None:
        host, port = split_address(address, "metrics")
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        metrics = make_wsgi_app(registry)

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ.get("PATH_INFO") == "/metrics":
                samples: Iterable[bytes] = metrics(environ, start_response)
                return samples
            if environ.get("PATH_INFO") == "/healthz":
                return _json(health(), start_response)
            found = page(environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", ""))
            if found is not None:
                start_response("200 OK", [("Content-Type", found[0])])
                return [found[1]]
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"try /metrics or /healthz\n"]

        try:
            self._server = make_server(host, port, application, WSGIServer, _QuietHandler)
        except OSError as error:
            raise ConfigError(
                f"metrics: cannot listen on {address}: {error.strerror or error}; "
                "choose another port, or stop what listens there (ss -ltnp)"
            ) from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _json(health: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
    status = "200 OK" if health.get("ok") else "503 Service Unavailable"
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(dict(health)).encode() + b"\n"]


class _QuietHandler(WSGIRequestHandler):
    timeout = 5  # a client that sends nothing must not hold the thread

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""


def scrape(url: str) -> dict[str, float]:
    """The samples of a /metrics page by name, summed over their labels; nothing if it cannot be read. Blocks."""
    # Only those who look at a page pay for this, not those who serve one.
    import urllib.request

    from prometheus_client.parser import text_string_to_metric_families

    try:
        with urllib.request.urlopen(url, timeout=_SCRAPE_TIMEOUT_S) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    except (OSError, ValueError):
        return {}
    samples: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            samples[sample.name] = samples.get(sample.name, 0.0) + sample.value
    return samples
