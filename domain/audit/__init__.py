"""What a verification finds, and the checks of stored rows that need no store."""
