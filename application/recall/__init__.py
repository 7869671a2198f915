"""The read path: search, listing, and the graph."""
