"""What misuse of a hub costs everybody else."""
