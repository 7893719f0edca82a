"""Planning of technicians' work: who does which job, when and in which order. Pure: no I/O, no clock."""
