"""Checking and counting what the ledger holds."""
