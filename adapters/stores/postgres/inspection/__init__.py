"""Verification of a PostgreSQL schema: every row of every table against the log."""
