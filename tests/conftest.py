"""What holds for all tests."""

import signal

# A shell that starts the suite in the background has it ignore SIGINT, and every program it starts would as well: those
# that a test ends with Ctrl-C would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
