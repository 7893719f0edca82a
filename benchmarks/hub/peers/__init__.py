"""One module for each peer; each says what it guarantees, so that the figures can be read for what they are."""
