"""The write path: from what was said to what the ledger records."""
