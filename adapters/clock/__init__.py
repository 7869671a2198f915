"""Clocks and id sources, one module per technology."""
