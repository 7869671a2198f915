"""Embedder over litellm: any provider that litellm supports, or a server with OpenAI's protocol.

It sends batches one after another, and checks and normalises the vectors. It has no cache: the
use-cases look up known texts first.
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
"""Values of ``input_type``, for providers that embed documents and queries differently."""


class _TrueZero(int):
    """A 0 that is true. litellm uses ``max_retries or 2`` for embeddings: with a plain 0 the
    provider's library makes three tries inside each of our tries (seen in 1.106.2).
    """

    def __bool__(self) -> bool:
        return True


NO_RETRIES = _TrueZero(0)


@frozen(kw_only=True)
class LitellmEmbedderSettings(Endpoint):
    """An ``Endpoint`` with the dimension and batch size of an embedder.

    Args:
        dimension: components per vector; sent to models that can shorten their vectors
            (``text-embedding-3-…``), otherwise it must be the dimension of the model.
        batch: texts per request.

    Raises:
        ValueError: a number out of range.
    """

    dimension: int = field(validator=ge(1))
    batch: int = field(default=96, validator=ge(1))


class LitellmEmbedder:
    """An ``Embedder``. A blank text maps to the zero vector and is not sent: providers would
    refuse the whole batch.

    Args:
        settings: endpoint, dimension and batch size.
        sleep: waits a number of seconds between tries.

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
        """``False``: embedding is a network request."""
        return False

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        """Return one vector of length 1 per text, in order."""
        sent = [text for text in texts if text.strip()]
        size = self._settings.batch
        vectors: list[Vector] = []
        for start in range(0, len(sent), size):
            vectors += await self._batch(sent[start : start + size], purpose)
        answered = iter(vectors)
        zero = array("f", bytes(4 * self.dimension))
        return [next(answered) if text.strip() else zero[:] for text in texts]

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
                # The adapter retries itself. "no-log" skips litellm's callbacks of the host.
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
