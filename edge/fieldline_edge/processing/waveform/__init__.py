"""What the waveform of a vibration sensor tells, where it is read: captures in, features as tags out."""
