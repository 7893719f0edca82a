"""The anomaly agent on simulated plants whose faults are known: found, how late, and how often for nothing."""
