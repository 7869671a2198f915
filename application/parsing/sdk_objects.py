"""Read objects of chat SDKs as mappings, without importing the SDKs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class SdkObject(Protocol):
    """A message or a part of one, as the SDKs of OpenAI, Anthropic and Google and LangChain return
    it: a pydantic model.
    """

    def model_dump(self, *, warnings: bool = ...) -> dict[str, Any]:
        """The fields as a mapping."""
        ...


def as_mapping(value: object) -> dict[str, Any] | None:
    """A shallow copy of a mapping, or the fields of an SDK's object; ``None`` for anything else,
    and for an object that can't be read.
    """
    try:
        if isinstance(value, Mapping):
            return dict(value)
        if not isinstance(value, type) and callable(dump := getattr(value, "model_dump", None)):
            # An answer of an API need not fit the SDK's types; pydantic would warn about each.
            return dict(dump(warnings=False))
    except Exception:  # noqa: BLE001 - the code is not ours, and may raise anything
        return None
    return None
