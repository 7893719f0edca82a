"""Writes to devices: off unless configured, allowed tag by tag, checked, audited."""
