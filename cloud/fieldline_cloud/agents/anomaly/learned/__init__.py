"""What the agent learns by itself of tags and devices, and what it makes of the scores. Pure."""
