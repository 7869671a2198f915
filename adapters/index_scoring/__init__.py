"""Scoring code shared by all indexes: BM25, order of hits, checks of arguments."""
