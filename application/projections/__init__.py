"""Keeping projections outside the append in step with the log."""
