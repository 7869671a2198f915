"""What the tests make indexes with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

MakeIndex: TypeAlias = Callable[..., Any]
"""Settings that differ, as keywords; returns an index whose methods are plain calls."""
