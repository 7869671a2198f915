"""The store in memory: for tests and for swapping in."""
