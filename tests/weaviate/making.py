"""What the fixture that makes indexes is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

MakeIndex: TypeAlias = Callable[..., Any]
"""Takes a model, a dimension and changes of the settings; its methods are plain calls."""
