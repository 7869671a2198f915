"""Calls to litellm with bounded concurrency, a timeout per try, and retries."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from remembrancer.adapters.models.litellm.endpoint import Endpoint
from remembrancer.adapters.models.litellm.failures import ADAPTER, translated
from remembrancer.adapters.models.litellm.library import load, on_the_loop, require_litellm
from remembrancer.adapters.models.litellm.retrying import Retrying, TryAgain
from remembrancer.adapters.redaction import Secrets
from remembrancer.domain.errors import AdapterUnavailable

T = TypeVar("T")

Ask = Callable[[Any], Awaitable[T]]
"""Makes one request; its argument is the litellm module."""


class LitellmCalls:
    """Requests to one endpoint. Usable from any thread or event loop.

    Args:
        port: name of the port in settings and errors.
        endpoint: concurrency, timeout and retries.
        sleep: waits a number of seconds between tries; replaced in tests.

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
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._retrying = Retrying(retries=endpoint.retries, patience=endpoint.patience, sleep=sleep)

    async def run(self, model: str, ask: Ask[T]) -> T:
        """Call ``ask`` with retries and return its result.

        A request keeps its concurrency slot while it waits for a retry: this reduces the load on
        an overloaded server.

        Args:
            model: name of the model in errors.
            ask: makes one request; its exceptions are translated. It may raise ``TryAgain``.

        Raises:
            AdapterUnavailable, ModelError, InvalidRequest: see ``LanguageModel``.
        """
        return await on_the_loop(self._run_in_slot(model, ask))

    async def _run_in_slot(self, model: str, ask: Ask[T]) -> T:
        litellm = load()
        async with self._slots:
            return await self._retrying.run(lambda: self._try(litellm, model, ask))

    async def _try(self, litellm: Any, model: str, ask: Ask[T]) -> T:
        # litellm's errors are subclasses of OpenAI's, for every provider.
        from openai import OpenAIError

        limit = self._endpoint.timeout
        try:
            async with asyncio.timeout(limit):
                return await ask(litellm)
        except TimeoutError as error:
            slow = AdapterUnavailable(ADAPTER, f"{model}: no answer within {limit:g} s")
            raise TryAgain(slow) from error
        except OpenAIError as error:
            secrets = _secrets(self._endpoint)
            raise translated(error, self._port, model, secrets) from secrets.cause(error)


def _secrets(endpoint: Endpoint) -> Secrets:
    # Without api_key, litellm takes the key from the provider's variable.
    keys = [value for name, value in os.environ.items() if name.endswith("_API_KEY")]
    return Secrets.of(endpoint, *keys)
