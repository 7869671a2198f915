"""litellm's exceptions, which are OpenAI's whatever the provider, as ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from remembrancer.adapters.models.litellm.retrying import TryAgain, retry_after
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError

ADAPTER = "litellm"
SHOWN = 300
"""Characters of a provider's own words that go into an error."""

INPUTS = {"language_model": "prompt.messages", "embedder": "texts", "reranker": "texts"}
"""What a request is made of, by port."""

TRANSIENT = frozenset({408, 409, 425, 429})
"""Client errors that time heals; all server errors may be healed by it."""


def translated(error: Any, port: str, model: str) -> Exception:
    """What to raise instead of an ``openai.OpenAIError``: ``TryAgain`` for what may pass.

    A request that the provider finds wrong is blamed on what it most likely comes from:
    ``<port>.api_key``, ``<port>.model``, the input if it is too long, else on the port.
    """
    kind = type(error).__name__
    status = getattr(error, "status_code", None) or 500
    said = f"{model}: {_words(error)}"
    if kind == "ContentPolicyViolationError":
        return ModelError(f"{said} (refused by policy)")
    if kind == "ContextWindowExceededError" or status == 413:
        return InvalidRequest(INPUTS[port], f"{said}; shorten it or choose a larger model")
    if status in TRANSIENT or status >= 500:
        return TryAgain(AdapterUnavailable(ADAPTER, said), _asked_wait(error))
    if status == 402:
        return AdapterUnavailable(ADAPTER, f"{said}; the account is out of credit")
    if status in (401, 403):
        return InvalidRequest(f"{port}.api_key", f"{said}; set the key of the provider")
    if status == 404:
        return InvalidRequest(f"{port}.model", f"{said}; check the name, and base_url")
    return InvalidRequest(port, said)


def _words(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _asked_wait(error: Any) -> float | None:
    response = getattr(error, "response", None)
    for headers in (
        getattr(error, "litellm_response_headers", None),
        getattr(response, "headers", None),
    ):
        if isinstance(headers, Mapping):
            found = retry_after(headers, datetime.now(UTC))
            if found is not None:
                return found
    return None
