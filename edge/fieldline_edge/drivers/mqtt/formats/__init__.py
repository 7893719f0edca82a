"""Kinds of payload, one module each: how a message is cut into records, and where values and times stand in them."""
