"""Decisions of the hub: pure, without sockets, threads or clocks."""
