"""MQTT: JSON messages of a sensor become readings."""
