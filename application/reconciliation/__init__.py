"""Reconciliation of candidates with active facts: by rules, or by a language model."""
