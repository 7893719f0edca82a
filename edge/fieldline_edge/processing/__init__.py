"""What happens to readings between a driver and the batcher: derived tags, alarms, and sending less of what is left."""
