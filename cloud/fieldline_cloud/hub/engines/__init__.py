"""Storage engines: one small interface, one module each."""
