"""Lazy imports: names are imported on first use, so that importing the package stays cheap."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any


def attribute_of(module: str, homes: Mapping[str, Collection[str]], name: str) -> Any:
    """Import a name for ``__getattr__`` of a lazy module, and cache it there.

    Args:
        module: the lazy module.
        homes: its names, by the module that defines them (below ``remembrancer``).
        name: the name to import.

    Raises:
        AttributeError: the module has no such name.
    """
    for home, names in homes.items():
        if name in names:
            value = getattr(import_module(f"remembrancer.{home}"), name)
            setattr(sys.modules[module], name, value)
            return value
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
