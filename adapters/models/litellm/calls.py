"""Calling litellm: a few at a time, each with a time limit, again where that may help."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from remembrancer.adapters.models.litellm.endpoint import Endpoint
from remembrancer.adapters.models.litellm.failures import ADAPTER, translated
from remembrancer.adapters.models.litellm.library import load, on_the_loop, require_litellm
from remembrancer.adapters.models.litellm.retrying import Retrying, TryAgain
from remembrancer.domain.errors import AdapterUnavailable

T = TypeVar("T")

Ask = Callable[[Any], Awaitable[T]]
"""Given the module, makes one request."""


class LitellmCalls:
    """One endpoint's allowance of requests. May be used from any thread or loop.

    Args:
        port: the port that it is for, as named in settings and errors.
        endpoint: the limits.
        sleep: how to wait between tries; the tests do not.

    Raises:
        InvalidRequest: litellm is not installed.
    """

    def __init__(
        self,
        port: str,
        endpoint: Endpoint,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        require_litellm(port)
        self._port = port
        self._endpoint = endpoint
        self._turns = asyncio.Semaphore(endpoint.concurrency)
        self._retrying = Retrying(retries=endpoint.retries, patience=endpoint.patience, sleep=sleep)

    async def run(self, model: str, ask: Ask[T]) -> T:
        """What ``ask`` returns, after as many tries as the endpoint allows. A request keeps its
        turn while it waits to be tried again, so that an overloaded server is left alone.

        Args:
            model: whom ``ask`` asks, to be named in errors.
            ask: makes one request; its exceptions are translated. It may raise ``TryAgain``.

        Raises:
            AdapterUnavailable, ModelError, InvalidRequest: see ``LanguageModel``.
        """
        return await on_the_loop(self._ordered_remember(model, ask))

    async def _ordered_remember(self, model: str, ask: Ask[T]) -> T:
        litellm = load()
        async with self._turns:
            return await self._retrying.run(lambda: self._try(litellm, model, ask))

    async def _try(self, litellm: Any, model: str, ask: Ask[T]) -> T:
        # litellm's errors, of whatever provider, are subclasses of OpenAI's.
        from openai import OpenAIError

        limit = self._endpoint.timeout
        try:
            async with asyncio.timeout(limit):
                return await ask(litellm)
        except TimeoutError as error:
            slow = AdapterUnavailable(ADAPTER, f"{model}: no answer within {limit:g} s")
            raise TryAgain(slow) from error
        except OpenAIError as error:
            raise translated(error, self._port, model) from error
