"""Code shared by the indexes on servers: stored rows, exact lookups, filters and scoring."""
