"""What a stream's first request asks for, so that it can be asked again when grants have changed."""

from typing import Any

from fieldline_cloud.hub.core.access import Claims

__all__ = ["claims_of"]


def claims_of(first: Any) -> Claims:
    """The names and filters in the first request of a Publish, Subscribe or Attend stream; not yet checked."""
    kind = first.WhichOneof("kind")
    if kind == "hello":
        return Claims(client=first.hello.hello.name, producer=first.hello.producer)
    if kind == "open":
        opening = first.open
        return Claims(client=opening.hello.name, durable=opening.durable, filters=tuple(opening.filters))
    if kind == "join":
        return Claims(client=first.join.hello.name)
    return Claims()  # it will be refused for that
