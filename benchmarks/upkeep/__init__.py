"""How soon an alert is a task in somebody's plan, while the planner is busy."""
