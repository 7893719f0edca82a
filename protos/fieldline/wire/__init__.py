"""The wire codec: frames, reading batches, alerts and tasks as bytes and back."""
