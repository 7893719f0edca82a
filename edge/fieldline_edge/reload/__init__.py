"""A new configuration while the gateway runs: what differs, what that restarts, and doing it."""
