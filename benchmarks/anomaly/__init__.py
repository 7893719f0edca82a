"""How well anomalies are found, on public labelled data, and what a reading costs."""
"""Anomaly detection on public labelled data: how well, at how many false alarms, at what cost."""
