"""Drivers: one folder for each way to reach a device."""
