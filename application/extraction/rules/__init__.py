"""Extraction and reconciliation by rules alone: no model, no download, no network."""
