"""Reranker over litellm: Cohere, Jina, Voyage, other providers, or your own server.

One request for all texts.
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
    """An ``Endpoint`` with fewer retries: a search should not wait long for the reranker.

    Args:
        retries: maximum retries after a transient failure.

    Raises:
        ValueError: a number out of range.
    """

    retries: int = field(default=1, validator=ge(0))


class LitellmReranker:
    """A ``Reranker``. A blank text has relevance 0 and is not sent.

    Args:
        settings: endpoint and retries.
        sleep: waits a number of seconds between tries.

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
        sent = [number for number, text in enumerate(texts) if text.strip()]
        if not sent:
            return [0.0] * len(texts)
        settings = self._settings

        async def ask(litellm: Any) -> Any:
            return await litellm.arerank(
                model=settings.model,
                query=question,
                documents=[texts[number] for number in sent],
                top_n=len(sent),
                return_documents=False,
                timeout=settings.timeout,
                # The adapter retries itself. "no-log" skips litellm's callbacks of the host.
                num_retries=0,
                max_retries=0,
                drop_params=True,
                **{"no-log": True},
                **settings.access(settings.model),
            )

        response = await self._calls.run(settings.model, ask)
        return self._relevances(response.results or (), sent, len(texts))

    def _relevances(
        self, results: Sequence[Any], sent: Sequence[int], count: int
    ) -> Sequence[float]:
        """Return the relevance of each text, in order.

        Args:
            results: the provider's results.
            sent: positions of the texts that were sent.
            count: number of all texts.

        Raises:
            ModelError: an unknown or repeated text, a missing one, or a relevance not finite.
        """
        found: dict[int, float] = {}
        for result in results:
            place, relevance = result["index"], result["relevance_score"]
            known = isinstance(place, int) and 0 <= place < len(sent)
            if not known or sent[place] in found or not isfinite(relevance):
                raise ModelError(
                    f"{self.model}: returned an unknown or repeated text, or a relevance not finite"
                )
            found[sent[place]] = relevance
        if len(found) != len(sent):
            raise ModelError(f"{self.model}: ranked {len(found)} of {len(sent)} texts")
        # Some providers return values slightly outside [0, 1].
        return [min(1.0, max(0.0, found.get(number, 0.0))) for number in range(count)]
