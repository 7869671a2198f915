"""The read path: search, listings, and graph queries."""
