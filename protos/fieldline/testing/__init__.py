"""Helpers for tests of agents: a real hub to talk to, that can be killed and brought back."""

from fieldline.testing.hub_process import HubProcess

__all__ = ["HubProcess"]
