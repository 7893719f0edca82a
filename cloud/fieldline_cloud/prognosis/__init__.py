"""Remaining useful life with its uncertainty: from a trend towards a limit, or from machines that failed before."""
