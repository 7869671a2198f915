"""Explicit edits by a caller: update and delete."""
