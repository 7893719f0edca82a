"""The maintenance agent: alerts in, tasks for technicians out."""
