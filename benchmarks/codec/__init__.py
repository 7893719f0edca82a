"""Bytes per reading and speed of the reading codec beside what else could carry readings."""
