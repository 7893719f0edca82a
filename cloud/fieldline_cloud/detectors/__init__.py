"""Detectors: small pure classes that turn readings into scores."""
