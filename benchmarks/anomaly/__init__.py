"""How well anomalies are found, on public labelled data, and what a reading costs."""
