"""A simulated plant: machines with coupled signals and faults, served as real Modbus TCP and real MQTT."""
