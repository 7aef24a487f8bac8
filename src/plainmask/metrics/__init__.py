"""Metrics: results compared with annotations. They know no model and no torch."""
