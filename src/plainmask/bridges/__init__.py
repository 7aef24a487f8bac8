"""Bridges to tools that people label and look at data with: a file each, its tool loaded late."""
