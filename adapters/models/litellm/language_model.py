"""Language model over litellm: any provider that litellm supports, or a server with OpenAI's
protocol (Ollama, vLLM, LM Studio).

``async`` only: requests run on litellm's own event loop (see ``library``), for callers with and
without a loop. No streaming.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeAlias

from attrs import evolve, field, frozen
from attrs.validators import ge, gt, optional

from remembrancer.adapters.models.json_answer import Answer, read, without_surrogates
from remembrancer.adapters.models.litellm.calls import LitellmCalls
from remembrancer.adapters.models.litellm.endpoint import Endpoint
from remembrancer.adapters.models.litellm.library import load, on_the_loop
from remembrancer.adapters.models.litellm.retrying import TryAgain
from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from remembrancer.domain.ports.language_model import ChatMessage, Completion, Prompt

PORT = "language_model"

JSON_ONLY = (
    "Answer with a single JSON value and nothing else: no explanation, no Markdown. "
    "It must fit this JSON schema:\n"
)
"""Added to the system prompt for models without structured output."""

OURS = frozenset(
    "model messages response_format stream n timeout num_retries max_retries drop_params no-log "
    "api_base base_url api_key".split()
)
"""Names not allowed in ``parameters``: the adapter sets them."""

TOLD = frozenset(
    "max_tokens temperature top_p top_k seed stop frequency_penalty presence_penalty "
    "reasoning_effort verbosity service_tier".split()
)
"""The parameters that are recorded in ``Completion.parameters``."""

PASS_ADDRESSES_ON = frozenset({"openai", "azure"})
"""Providers to which litellm passes an image URL unchanged. For several others it downloads the
image in this process: a message could then choose the URLs that this process requests (SSRF).
"""

Form: TypeAlias = Literal["none", "schema", "words"]
"""How a schema is sent: not at all, as a request parameter, or in the system prompt."""


@frozen(kw_only=True)
class LitellmSettings(Endpoint):
    """An ``Endpoint`` with fallbacks and generation parameters.

    Args:
        fallbacks: models (``provider/model``) to try in order if the model before is unavailable,
            refuses, or returns an empty answer. Models of the same provider use the same
            ``base_url`` and key.
        max_output_tokens: upper bound on the prompt's ``max_output_tokens``.
        temperature: overrides the prompt's temperature, at least 0.
        parameters: further arguments for litellm, such as ``reasoning_effort``. They may contain
            credentials, so only those in ``TOLD`` are shown and recorded.

    Raises:
        ValueError: a number out of range, or an invalid fallback or parameter.
    """

    fallbacks: tuple[str, ...] = field(default=())
    max_output_tokens: int | None = field(default=None, validator=optional(gt(0)))
    temperature: float | None = field(default=None, validator=optional(ge(0)))
    parameters: Mapping[str, Any] = field(factory=dict, repr=False)

    def __attrs_post_init__(self) -> None:
        # A string given instead of a list arrives here as its letters.
        if any(len(model) < 2 for model in self.fallbacks):
            raise ValueError('fallbacks: expected a list of models, such as ["openai/gpt-4o"]')
        if taken := OURS & set(self.parameters):
            raise ValueError(f"parameters.{min(taken)}: the adapter sets it itself; leave it out")


class LitellmLanguageModel:
    """A ``LanguageModel``.

    Models that litellm lists as supporting a JSON schema get it as a request parameter. A server
    at a ``base_url`` gets it too; if it refuses or returns no JSON, the request is repeated with
    the schema in the system prompt, and later requests use the prompt at once. All other models
    get the schema in the system prompt.

    ``Completion.parameters``: ``structured`` is the ``Form`` used, ``finish_reason`` is ``length``
    for a truncated answer, ``answered_by`` is the provider's own name of the model,
    ``failed_before`` are the failures of the models before a fallback.

    Args:
        settings: endpoint, fallbacks and parameters.
        sleep: waits a number of seconds between tries.

    Raises:
        InvalidRequest: litellm is not installed.
    """

    def __init__(
        self,
        settings: LitellmSettings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._calls = LitellmCalls(PORT, settings, sleep)
        self._known: dict[str, bool] = {}
        self._in_words: set[str] = set()

    @property
    def model(self) -> str:
        """The configured model, not a fallback; a ``Completion`` names the one that answered."""
        return self._settings.model

    async def complete(self, prompt: Prompt) -> Completion:
        """Ask the model, then its fallbacks in order.

        A message with role tool is sent as user: providers refuse a tool message without a call.
        """
        failed: list[str] = []
        for model in (self._settings.model, *self._settings.fallbacks):
            try:
                answer = await self._ask(model, prompt)
            except (AdapterUnavailable, ModelError) as error:
                if len(failed) == len(self._settings.fallbacks):
                    for problem in failed:
                        error.add_note(f"tried before: {problem}")
                    raise
                failed.append(str(error))
            else:
                return _noting(answer, failed_before=failed) if failed else answer
        raise AssertionError("the last model answers or raises")

    async def _ask(self, model: str, prompt: Prompt) -> Completion:
        if prompt.schema is None:
            return await self._request(model, prompt, "none")
        if model in self._in_words or not await self._may_follow(model):
            return await self._request(model, prompt, "words")
        wasted: Completion | None = None
        try:
            answer = await self._request(model, prompt, "schema")
        except InvalidRequest as error:
            if error.path != PORT:
                raise
        else:
            if answer.parsed is not None or self._known[model]:
                return answer
            wasted = answer
        answer = await self._request(model, prompt, "words")
        self._in_words.add(model)
        return _with_cost_of(wasted, answer) if wasted else answer

    async def _may_follow(self, model: str) -> bool:
        if model not in self._known:
            self._known[model] = await on_the_loop(_follows_schema(model))
        return self._known[model] or "api_base" in self._settings.access(model)

    async def _request(self, model: str, prompt: Prompt, form: Form) -> Completion:
        sent = self._parameters(prompt)

        async def ask(litellm: Any) -> Completion:
            _check_addresses(litellm, model, prompt)
            begun = time.monotonic()
            response = await litellm.acompletion(
                model=model,
                messages=_messages(prompt, form),
                timeout=self._settings.timeout,
                # The adapter retries itself. "no-log" skips litellm's callbacks of the host.
                num_retries=0,
                max_retries=0,
                drop_params=True,
                **{"no-log": True},
                **sent,
                **(
                    {"response_format": _response_format(prompt.schema)} if form == "schema" else {}
                ),
                **self._settings.access(model),
            )
            latency = time.monotonic() - begun
            recorded = {name: value for name, value in sent.items() if name in TOLD}
            return _completion(response, model, prompt, latency, {**recorded, "structured": form})

        return await self._calls.run(model, ask)

    def _parameters(self, prompt: Prompt) -> dict[str, Any]:
        settings = self._settings
        limit = settings.max_output_tokens or prompt.max_output_tokens
        chosen = settings.temperature
        return {
            "max_tokens": min(limit, prompt.max_output_tokens),
            "temperature": prompt.temperature if chosen is None else chosen,
            **settings.parameters,
        }


async def _follows_schema(model: str) -> bool:
    """Return whether litellm lists this model as supporting a response schema."""
    from openai import OpenAIError

    try:
        return bool(load().supports_response_schema(model=model))
    except OpenAIError:
        # Unknown provider: the request itself raises a clearer error.
        return False


def _check_addresses(litellm: Any, model: str, prompt: Prompt) -> None:
    """Check that litellm will not download an image in this process.

    Raises:
        ModelError: an image is given by URL, and litellm does not pass URLs to this provider.
    """
    shown = [url for message in prompt.messages for url in message.images]
    if all(url.startswith("data:") for url in shown):
        return
    provider = litellm.get_llm_provider(model=model)[1]
    if provider not in PASS_ADDRESSES_ON:
        raise ModelError(
            f"{model}: an image at an address would have to be fetched by this process for "
            f"{provider}; send the bytes of the image"
        )


def _messages(prompt: Prompt, form: Form) -> list[dict[str, Any]]:
    system = prompt.system
    if form == "words":
        schema = json.dumps(prompt.schema, ensure_ascii=False, separators=(",", ":"))
        system = f"{system}\n\n{JSON_ONLY}{schema}".lstrip()
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for message in prompt.messages:
        role = Role.USER if message.role is Role.TOOL else message.role
        messages.append({"role": role.value, "content": _content(message)})
    return messages


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.content
    return [
        {"type": "text", "text": message.content},
        *({"type": "image_url", "image_url": {"url": url}} for url in message.images),
    ]


def _response_format(schema: Any) -> dict[str, Any]:
    named = {"name": "answer", "schema": schema, "strict": _is_closed(schema)}
    return {"type": "json_schema", "json_schema": named}


def _is_closed(schema: Any) -> bool:
    """Return whether every object of a schema requires all of its properties and allows no others.

    Providers accept ``strict`` only for such schemas.
    """
    if isinstance(schema, list):
        return all(_is_closed(each) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != set(properties)
    ):
        return False
    return all(_is_closed(each) for each in schema.values())


def _completion(
    response: Any, model: str, prompt: Prompt, latency: float, parameters: Mapping[str, Any]
) -> Completion:
    """Convert litellm's response to a ``Completion``.

    Raises:
        ModelError: the model refused, or used all its tokens without an answer.
        TryAgain: the answer is empty for no stated reason.
    """
    choice = response.choices[0] if response.choices else None
    reason = choice.finish_reason if choice else None
    text = without_surrogates((choice.message.content if choice else None) or "")
    refusal = (
        (getattr(choice.message, "provider_specific_fields", None) or {}).get("refusal")
        if choice
        else None
    )
    if reason == "content_filter" or (refusal and not text.strip()):
        raise ModelError(f"{model}: refused to answer ({refusal or reason})")
    if not text.strip():
        if reason == "length":
            raise ModelError(
                f"{model}: used up its tokens before it answered; raise max_output_tokens"
            )
        raise TryAgain(ModelError(f"{model}: returned an empty answer (finish reason {reason})"))
    usage = getattr(response, "usage", None)
    answer = Answer() if prompt.schema is None else read(text, prompt.schema)
    return Completion(
        text=text,
        parsed=answer.value,
        # A whole answer may be followed by chatter that is cut off.
        cut_off=reason == "length" if answer.cut_off is None else answer.cut_off,
        model=model,
        input_tokens=getattr(usage, "prompt_tokens", 0) or 0,
        output_tokens=getattr(usage, "completion_tokens", 0) or 0,
        cost=response._hidden_params.get("response_cost"),
        latency=latency,
        parameters={**parameters, "finish_reason": reason, "answered_by": response.model},
    )


def _noting(answer: Completion, **more: Any) -> Completion:
    return evolve(answer, parameters={**answer.parameters, **more})


def _with_cost_of(wasted: Completion, answer: Completion) -> Completion:
    """Add the tokens, cost and latency of an unusable earlier answer."""
    return evolve(
        answer,
        input_tokens=wasted.input_tokens + answer.input_tokens,
        output_tokens=wasted.output_tokens + answer.output_tokens,
        cost=None if wasted.cost is None or answer.cost is None else wasted.cost + answer.cost,
        latency=wasted.latency + answer.latency,
    )
