"""Rerankers over litellm: Cohere, Jina, Voyage and whoever else it knows, or a server of your own.

One request for all texts. It computes nothing itself, and does not know what a fact is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import isfinite
from typing import Any

from attrs import field, frozen
from attrs.validators import ge

from remembrancer.adapters.models.litellm.calls import LitellmCalls
from remembrancer.adapters.models.litellm.endpoint import Endpoint
from remembrancer.domain.errors import ModelError


@frozen(kw_only=True)
class LitellmRerankerSettings(Endpoint):
    """An ``Endpoint`` with retries of its own: a search does not wait long for a second opinion.

    Args:
        retries: further tries after a failure that may pass.

    Raises:
        ValueError: a number out of range.
    """

    retries: int = field(default=1, validator=ge(0))


class LitellmReranker:
    """A ``Reranker``. A text without content has no relevance and is not sent.

    Args:
        settings: whom to ask, and how.
        sleep: how to wait between tries.

    Raises:
        InvalidRequest: litellm is not installed.
    """

    def __init__(
        self,
        settings: LitellmRerankerSettings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._calls = LitellmCalls("reranker", settings, sleep)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._settings.model

    async def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """See ``Reranker.rerank``."""
        spoken = [number for number, text in enumerate(texts) if text.strip()]
        if not spoken:
            return [0.0] * len(texts)
        settings = self._settings

        async def ask(litellm: Any) -> Any:
            return await litellm.arerank(
                model=settings.model,
                query=question,
                documents=[texts[number] for number in spoken],
                top_n=len(spoken),
                return_documents=False,
                timeout=settings.timeout,
                # The adapter tries again itself, and litellm's callbacks are the host's business.
                num_retries=0,
                max_retries=0,
                drop_params=True,
                **{"no-log": True},
                **settings.access(settings.model),
            )

        response = await self._calls.run(settings.model, ask)
        return self._relevances(response.results or (), spoken, len(texts))

    def _relevances(
        self, results: Sequence[Any], spoken: Sequence[int], count: int
    ) -> Sequence[float]:
        """By text, in order.

        Raises:
            ModelError: a text twice, one that was not asked about, or no number.
        """
        found: dict[int, float] = {}
        for result in results:
            place, relevance = result["index"], result["relevance_score"]
            known = isinstance(place, int) and 0 <= place < len(spoken)
            if not known or spoken[place] in found or not isfinite(relevance):
                raise ModelError(f"{self.model}: ranked other texts than those it was asked about")
            found[spoken[place]] = relevance
        if len(found) != len(spoken):
            raise ModelError(f"{self.model}: ranked {len(found)} of {len(spoken)} texts")
        # Some providers leave [0, 1] by a little.
        return [min(1.0, max(0.0, found.get(number, 0.0))) for number in range(count)]
