"""Translation of litellm's exceptions (OpenAI's classes, for every provider) to domain errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from remembrancer.adapters.models.litellm.retrying import TryAgain, retry_after
from remembrancer.adapters.redaction import Secrets
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError, SettingsError

ADAPTER = "litellm"
SHOWN = 300
"""Maximum characters of a provider's message in an error."""

INPUTS = {"language_model": "prompt.messages", "embedder": "texts", "reranker": "texts"}
"""Path of the request's input in errors, by port."""

TRANSIENT = frozenset({408, 409, 425, 429})
"""Client errors that are retried; all server errors (5xx) are retried too."""


def translated(error: Any, port: str, model: str, secrets: Secrets) -> Exception:
    """Return the exception to raise for an ``openai.OpenAIError``; ``TryAgain`` for transient ones.

    An invalid request gets the path of its most likely cause: ``<port>.api_key``,
    ``<port>.model``, the input if it is too long, else the port. ``secrets`` are cut from the
    provider's text.
    """
    kind = type(error).__name__
    status = getattr(error, "status_code", None) or 500
    problem = f"{model}: {_shortened(secrets.cut_from(error))}"
    if kind == "ContentPolicyViolationError":
        return ModelError(f"{problem} (refused by policy)")
    if kind == "ContextWindowExceededError" or status == 413:
        return InvalidRequest(INPUTS[port], f"{problem}; shorten it or choose a larger model")
    if status in TRANSIENT or status >= 500:
        return TryAgain(AdapterUnavailable(ADAPTER, problem), _retry_after(error))
    if status == 402:
        return AdapterUnavailable(ADAPTER, f"{problem}; the account is out of credit")
    if status in (401, 403):
        return SettingsError(f"{port}.api_key", f"{problem}; set the key of the provider")
    if status == 404:
        return SettingsError(f"{port}.model", f"{problem}; check the name, and base_url")
    return InvalidRequest(port, problem)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _retry_after(error: Any) -> float | None:
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
