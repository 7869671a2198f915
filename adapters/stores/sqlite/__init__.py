"""What all adapters on SQLite share: the open file, its failures, and filters as SQL."""
