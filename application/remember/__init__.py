"""The write path: from messages to events in the ledger."""
