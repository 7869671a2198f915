"""The description of what decides what is remembered, appended once to each ledger."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from attrs import evolve

from remembrancer.domain.events import PipelineDescribed
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.embedder import Embedder
from remembrancer.domain.ports.extractor import Extractor
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.reconciler import Reconciler
from remembrancer.domain.ports.self_description import describes_itself
from remembrancer.domain.recorded import Handle, Head
from remembrancer.domain.scope import LedgerId
from remembrancer.version import __version__

LIBRARIES = ("numpy", "dateparser")
"""The libraries that compute something that a decision depends on: similarities and dates."""

DIGEST_CHARACTERS = 32

REMEMBERED = 10_000
"""Ledgers that are known to have the description, before all are asked about again."""


class Pipeline:
    """The parts that decide, as this process runs them.

    Args:
        extractor: messages to candidates.
        reconciler: candidates to proposals.
        embedder: makes the vectors by which similar facts are found.
        facts: knows the descriptions of each ledger.
    """

    def __init__(
        self,
        *,
        extractor: Extractor,
        reconciler: Reconciler,
        embedder: Embedder,
        facts: FactStore,
    ) -> None:
        self._extractor = extractor
        self._reconciler = reconciler
        self._embedder = embedder
        self._facts = facts
        self._described: set[Handle] = set()

    @cached_property
    def description(self) -> PipelineDescribed:
        """The description, the same in every process with the same parts."""
        parts = PipelineDescribed(
            digest="",
            software=f"remembrancer {__version__}",
            extractor=_described(self._extractor),
            reconciler=_described(self._reconciler),
            embedder={"model": self._embedder.model, "dimension": self._embedder.dimension},
            prompts={**_prompts(self._extractor), **_prompts(self._reconciler)},
            libraries={"python": platform.python_version(), **_versions()},
        )
        content = json.dumps(to_jsonable(parts), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(content.encode()).hexdigest()
        return evolve(parts, digest=digest[:DIGEST_CHARACTERS])

    @property
    def digest(self) -> str:
        """The digest of the description: 32 hex digits."""
        return self.description.digest

    async def missing(self, ledger: LedgerId, head: Head) -> bool:
        """Whether the ledger, at its head, has no description of this pipeline."""
        if head.handle is None:
            return True
        if head.handle in self._described:
            return False
        if not await self._facts.has_pipeline(ledger, self.digest):
            return True
        # Threads share it, so each of these calls must be whole by itself.
        if len(self._described) >= REMEMBERED:
            self._described.clear()
        self._described.add(head.handle)
        return False


def _described(part: object) -> Mapping[str, Any]:
    if describes_itself(part):
        return to_jsonable(part.description)  # type: ignore[no-any-return]
    return {"name": f"{type(part).__module__}.{type(part).__qualname__}"}


def _prompts(part: object) -> Mapping[str, str]:
    return part.prompts if describes_itself(part) else {}


@cache
def _versions() -> Mapping[str, str]:
    """The versions that are installed; reading them from their files takes milliseconds."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
