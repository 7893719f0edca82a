"""What holds for all tests."""

import signal

import hypothesis

# How long an example takes says more about the machine's other work than about the code: speed is measured by benches.
hypothesis.settings.register_profile(
    "fieldline", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("fieldline")

# A shell that starts the suite in the background has it ignore SIGINT, and every program it starts would as well: those
# that a test ends with Ctrl-C would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
