"""Language models over litellm: any provider that it knows, any server that speaks OpenAI's
protocol (Ollama, vLLM, LM Studio).

It is written ``async`` alone: the requests run on litellm's own loop (see ``library``
beside it), so that callers with a loop and callers without one wait for the same thing. It knows
nothing of facts or prompts, and does not stream.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeAlias

from attrs import evolve, field, frozen
from attrs.validators import ge, gt, optional

from remembrancer.adapters.models.json_answer import parse, without_surrogates
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
"""What is added to the system prompt of a model that cannot be held to a schema."""

OURS = frozenset(
    "model messages response_format stream n timeout num_retries max_retries drop_params no-log "
    "api_base base_url api_key".split()
)
"""What ``parameters`` may not say: the adapter says it."""

TOLD = frozenset(
    "max_tokens temperature top_p top_k seed stop frequency_penalty presence_penalty "
    "reasoning_effort verbosity service_tier".split()
)
"""The parameters that a completion repeats."""

PASS_ADDRESSES_ON = frozenset({"openai", "azure"})
"""The providers to which litellm sends the address of an image as it is. For several others it
fetches the image itself, which would let a message choose what this process requests.
"""

Form: TypeAlias = Literal["none", "schema", "words"]
"""How a schema is asked for: not at all, as a parameter of the request, in the system prompt."""


@frozen(kw_only=True)
class LitellmSettings(Endpoint):
    """An ``Endpoint``, and how it is asked.

    Args:
        fallbacks: models (``provider/model``) to ask in turn if the first one is out of reach,
            refuses, or answers with nothing. Those of the same provider are asked at the same
            ``base_url`` with the same key.
        max_output_tokens: upper bound to what a prompt asks for.
        temperature: instead of what a prompt asks for.
        parameters: more arguments for litellm, such as ``reasoning_effort``. Credentials may be
            among them, so that only those in ``TOLD`` are shown and recorded.

    Raises:
        ValueError: a number out of range, or a fallback or parameter that cannot be.
    """

    fallbacks: tuple[str, ...] = field(default=())
    max_output_tokens: int | None = field(default=None, validator=optional(gt(0)))
    temperature: float | None = field(default=None, validator=optional(ge(0)))
    parameters: Mapping[str, Any] = field(factory=dict, repr=False)

    def __attrs_post_init__(self) -> None:
        # A string where a list was meant comes here as its letters.
        if any(len(model) < 2 for model in self.fallbacks):
            raise ValueError('fallbacks: expected a list of models, such as ["openai/gpt-4o"]')
        if taken := OURS & set(self.parameters):
            raise ValueError(f"parameters.{min(taken)}: the adapter sets it itself; leave it out")


class LitellmLanguageModel:
    """A ``LanguageModel``.

    Models known to follow a JSON schema are held to it by the provider. A server at a
    ``base_url`` is taken at its word: it is given the schema, and asked again in plain words if
    it refuses or its answer has no JSON in it; then it is remembered for the next time. All
    others are asked in plain words.

    Of ``Completion.parameters``: ``structured`` says which way it was (see ``Form``),
    ``finish_reason`` is ``length`` where the answer broke off, ``answered_by`` is the provider's
    own name of the model, ``failed_before`` are the failures of the models before a fallback.

    Args:
        settings: whom to ask, and how.
        sleep: how to wait between tries.

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
        """The first choice, as configured; a ``Completion`` names the one that answered."""
        return self._settings.model

    async def complete(self, prompt: Prompt) -> Completion:
        """Ask the model, then its fallbacks.

        A message of a tool is sent as a user's: providers refuse one that answers no call.
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
                # The adapter tries again itself, and litellm's callbacks are the host's business.
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
            told = {name: value for name, value in sent.items() if name in TOLD}
            return _completion(response, model, prompt, latency, {**told, "structured": form})

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
    """Whether litellm's table has it that the provider holds this model to a schema."""
    from openai import OpenAIError

    try:
        return bool(load().supports_response_schema(model=model))
    except OpenAIError:
        # A provider that it does not know; the request itself will say so better.
        return False


def _check_addresses(litellm: Any, model: str, prompt: Prompt) -> None:
    """Refuse to have images fetched here.

    Raises:
        ModelError: this provider is not sent addresses.
    """
    shown = [url for message in prompt.messages for url in message.images]
    if all(url.startswith("data:") for url in shown):
        return
    provider = litellm.get_llm_provider(model=model)[1]
    if provider not in PASS_ADDRESSES_ON:
        raise ModelError(
            f"{model}: an image at an address would have to be fetched by this process for "
            f"{provider}; send its bytes"
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
    """Whether every object of a schema requires all of its properties and allows no others: what
    providers ask for before they hold a model to it strictly.
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
    """litellm's response as ours.

    Raises:
        ModelError: a refusal, or nothing at all.
        TryAgain: nothing, for no reason that the provider gives.
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
            raise ModelError(f"{model}: used up its tokens before it answered; allow it more")
        raise TryAgain(ModelError(f"{model}: an empty answer (finish reason {reason})"))
    usage = getattr(response, "usage", None)
    return Completion(
        text=text,
        parsed=None if prompt.schema is None else parse(text, prompt.schema),
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
    """The answer, with what a useless one before it cost."""
    return evolve(
        answer,
        input_tokens=wasted.input_tokens + answer.input_tokens,
        output_tokens=wasted.output_tokens + answer.output_tokens,
        cost=None if wasted.cost is None or answer.cost is None else wasted.cost + answer.cost,
        latency=wasted.latency + answer.latency,
    )
