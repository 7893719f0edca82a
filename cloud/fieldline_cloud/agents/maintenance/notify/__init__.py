"""Telling people: whom, through which channel, when, again and again until somebody answers; and the log of it."""
