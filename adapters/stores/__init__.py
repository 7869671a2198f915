"""Stores: the audit log and its read models, which commit in one transaction."""
