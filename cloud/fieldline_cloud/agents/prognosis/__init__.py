"""The prognosis agent: readings in, remaining useful life out, as readings."""
