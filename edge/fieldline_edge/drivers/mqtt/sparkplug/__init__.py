"""Sparkplug B: the gateway as a host application that reads edge nodes."""
