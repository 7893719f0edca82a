"""Modbus TCP: registers of a device become readings."""
