"""The gateway under load: what it costs to poll, encode, spool and send."""
