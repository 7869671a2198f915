"""Embeddings over litellm: any provider that it knows, any server that speaks OpenAI's protocol.

It asks in batches, one after another, and checks and normalises what comes back. It computes
nothing itself and caches nothing: the use-cases look known texts up first.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from attrs.validators import ge

from remembrancer.adapters.models.litellm.calls import LitellmCalls
from remembrancer.adapters.models.litellm.endpoint import Endpoint
from remembrancer.adapters.models.unit_length import unit_vectors
from remembrancer.domain.ports.embedder import Purpose, Vector

INPUT_TYPES: Mapping[str, Mapping[Purpose, str]] = {
    "cohere": {"document": "search_document", "query": "search_query"},
    "voyage": {"document": "document", "query": "query"},
    "nvidia_nim": {"document": "passage", "query": "query"},
}
"""What the providers that embed documents and queries differently call the two."""


class _TrueZero(int):
    """0, and yet true: litellm takes ``max_retries or 2`` for embeddings, so that a plain 0 has
    the provider's library try three times inside each of our tries (seen in 1.106.2).
    """

    def __bool__(self) -> bool:
        return True


NO_RETRIES = _TrueZero(0)


@frozen(kw_only=True)
class LitellmEmbedderSettings(Endpoint):
    """An ``Endpoint``, and the shape of its vectors.

    Args:
        dimension: components per vector; asked for where a model can be shortened
            (``text-embedding-3-…``), and what others have by nature.
        batch: texts per request.

    Raises:
        ValueError: a number out of range.
    """

    dimension: int = field(validator=ge(1))
    batch: int = field(default=96, validator=ge(1))


class LitellmEmbedder:
    """An ``Embedder``. A text without content maps to the zero vector and is not sent: providers
    refuse it, and with it all others of its batch.

    Args:
        settings: whom to ask, and how.
        sleep: how to wait between tries.

    Raises:
        InvalidRequest: litellm is not installed.
    """

    def __init__(
        self,
        settings: LitellmEmbedderSettings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._calls = LitellmCalls("embedder", settings, sleep)
        provider = settings.model.partition("/")[0]
        self._input_types = INPUT_TYPES.get(provider, {})

    @property
    def model(self) -> str:
        """The model as configured, and its dimension."""
        return f"litellm/{self._settings.model}/{self._settings.dimension}"

    @property
    def dimension(self) -> int:
        """Components per vector."""
        return self._settings.dimension

    @property
    def local(self) -> bool:
        """It is a request over the network."""
        return False

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        """One vector of length 1 per text, in order."""
        spoken = [text for text in texts if text.strip()]
        size = self._settings.batch
        vectors: list[Vector] = []
        for start in range(0, len(spoken), size):
            vectors += await self._batch(spoken[start : start + size], purpose)
        answered = iter(vectors)
        nothing = array("f", bytes(4 * self.dimension))
        return [next(answered) if text.strip() else nothing[:] for text in texts]

    async def _batch(self, texts: list[str], purpose: Purpose) -> list[Vector]:
        settings = self._settings
        typed = {"input_type": self._input_types[purpose]} if self._input_types else {}

        async def ask(litellm: Any) -> Any:
            return await litellm.aembedding(
                model=settings.model,
                input=texts,
                dimensions=settings.dimension,
                encoding_format="float",
                timeout=settings.timeout,
                # The adapter tries again itself, and litellm's callbacks are the host's business.
                num_retries=0,
                max_retries=NO_RETRIES,
                drop_params=True,
                **{"no-log": True},
                **typed,
                **settings.access(settings.model),
            )

        response = await self._calls.run(settings.model, ask)
        rows = sorted(response.data or (), key=lambda row: row["index"])
        return unit_vectors(
            [row["embedding"] for row in rows], len(texts), self.dimension, settings.model
        )
