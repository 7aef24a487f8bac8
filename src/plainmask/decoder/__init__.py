"""The decoder of the paper, its link through time, and published checkpoints of it."""
