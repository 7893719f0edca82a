"""The server side: the hub and the agents that come with it."""
