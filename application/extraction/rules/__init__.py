"""Extraction by rules: no model, no download, no network."""
