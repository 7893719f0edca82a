"""The gateways that ours is measured beside."""
