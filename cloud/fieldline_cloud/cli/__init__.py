"""Commands of the server side: the hub, the agents, the demo."""
