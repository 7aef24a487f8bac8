"""Heads and encoders as files for other runtimes, with proof that they answer alike."""
