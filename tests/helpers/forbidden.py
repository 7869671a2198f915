"""Calls that code under test must not make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def forbidden(monkeypatch: pytest.MonkeyPatch, calls: Iterable[tuple[Any, str]]) -> Iterator[None]:
    """Make calls raise ``AssertionError`` with their name.

    Args:
        monkeypatch: undoes it after the block.
        calls: objects with the name of an attribute each.
    """

    def raising(name: str) -> Callable[..., Any]:
        def call(*_arguments: object, **_named: object) -> Any:
            raise AssertionError(f"code that must not called {name}")

        return call

    with monkeypatch.context() as patch:
        for owner, name in calls:
            patch.setattr(owner, name, raising(f"{owner.__name__}.{name}"))
        yield
