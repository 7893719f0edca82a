"""Fieldline's contract and client SDK: what both sides and every outside agent stand on."""

__version__ = "0.1.0"
