"""Turning text into vectors: one technology a module."""
