"""Microsoft AutoGen's gRPC host and workers, as `pip install autogen-ext[grpc]` brings them (0.7.5).

Nothing is stored and nothing is acknowledged: `publish_message` returns once the message is queued in its own process,
and who is not connected misses it. Queues have no bound, order is not promised. It promises less than our hub does. Its
pins (grpcio 1.70, protobuf 5.29) cannot be met beside ours, so it lives in a virtual environment of its own, made when
first needed: the folder FIELDLINE_BENCH_AUTOGEN names, otherwise `.venv-autogen` here. Where that cannot be made, the
rows say so. The clock runs from the first publish to the last message handled: the publisher is done long before.
"""

from benchmarks.environment import python_of
from benchmarks.harness import Worker, free_port
from benchmarks.hub.ours import percentiles

__all__ = ["latency", "path"]

_MODULE = "benchmarks.hub.peers.autogen_worker"
_WANTED = ("autogen-core==0.7.5", "autogen-ext[grpc]==0.7.5")


def _worker(role: str, *arguments: object) -> Worker:
    return Worker(_MODULE, role, *arguments, python=python_of("autogen", "0.7.5", *_WANTED))


def path(messages: int) -> dict[str, float]:
    """One publishing worker, one subscribing worker: messages handled per second."""
    address = f"127.0.0.1:{free_port()}"
    with _worker("host", address) as host:
        host.hear()
        with _worker("subscribe", address, messages) as subscriber, _worker("publish", address, messages) as publisher:
            subscriber.hear()
            publisher.hear()
            publisher.say(go=True)
            began, ended = publisher.hear()["began"], subscriber.hear()["ended"]
    return {"delivered": messages / (ended - began)}


def latency(seconds: float, rate: float, pattern: str) -> dict[str, float]:
    """100 worker runtimes in one process, publish to handler; nothing is stored."""
    address = f"127.0.0.1:{free_port()}"
    with _worker("host", address) as host:
        host.hear()
        with _worker("agents", address, 100, seconds, rate, pattern) as agents:
            return percentiles(agents.hear()["latencies"])
