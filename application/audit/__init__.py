"""Verification, statistics and the health report."""
