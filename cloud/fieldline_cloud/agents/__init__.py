"""The agents that come with Fieldline; they use the public SDK like anyone else."""
