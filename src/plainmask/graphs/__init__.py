"""Exported networks as files: opened, asked what they are, run. NumPy in, NumPy out."""
