"""Planning of technicians' work: our search beside a dispatch rule and beside libraries, and on public instances."""
