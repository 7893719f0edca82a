"""The hub: a durable publish/subscribe broker for frames, over gRPC."""

from fieldline_cloud.hub.hub import Hub
from fieldline_cloud.hub.settings import HubSettings

__all__ = ["Hub", "HubSettings"]
