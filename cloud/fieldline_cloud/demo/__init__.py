"""The demo plant: every process of a small Fieldline site on this machine, watched from one place."""
