"""The gateway as a service: signs of life for systemd, and how healthy it is."""
