"""The anomaly agent: readings in, alerts out, by limits on level, rate of change and silence."""
