"""Type of the fixture ``make_index``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

MakeIndex: TypeAlias = Callable[..., Any]
"""Takes a model, a dimension and changed settings; returns an index with sync methods."""
