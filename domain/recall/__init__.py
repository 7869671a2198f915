"""Recall as pure functions: the query, what is indexed, and how hits are ranked."""
