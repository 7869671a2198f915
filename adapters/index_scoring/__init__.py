"""Scoring code shared by all indexes: tokenizer, entity names, BM25, order of hits."""
