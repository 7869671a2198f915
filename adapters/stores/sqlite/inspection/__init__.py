"""Verification of a SQLite file: every row of every table against the log."""
