"""From a device and a cable to a running configuration: finding, recognising, trying out."""
