"""A server: one process, one encoder, every head. `plainmask serve` starts it."""
