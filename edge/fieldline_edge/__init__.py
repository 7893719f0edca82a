"""The gateway: reads devices, batches, spools, and streams to the hub."""
