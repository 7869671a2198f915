"""What an extractor or a reconciler says about itself, for the record of a decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard


class DescribesItself(Protocol):
    """Optional, for extractors and reconcilers. Of others the ledger records the class alone."""

    @property
    def description(self) -> Mapping[str, Any]:
        """Name, version and all settings that affect results, as JSON values without secrets. It
        does not change.
        """
        ...

    @property
    def prompts(self) -> Mapping[str, str]:
        """The digests of its prompt templates, by name."""
        ...


def describes_itself(part: object) -> TypeGuard[DescribesItself]:
    """Whether a part describes itself."""
    return hasattr(part, "description") and hasattr(part, "prompts")
