"""Anomaly detection on public labelled data: how well, at how many false alarms, at what cost."""
