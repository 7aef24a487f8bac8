"""Encoder and heads at work: images, streams, whole videos, tiles."""
