"""A language model for tests that gives scripted answers and raises scripted errors.

It needs no network and passes ``LanguageModelContract``. To test a client library over HTTP, use
``model_server``.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from remembrancer.adapters.models.json_answer import Answer, read, without_surrogates
from remembrancer.domain.errors import ModelError, RemembrancerError
from remembrancer.domain.ports.language_model import Completion, Prompt


@frozen(kw_only=True)
class After:
    """Give ``said`` after a delay of ``seconds``."""

    seconds: float
    said: Said


Said: TypeAlias = (
    str
    | Mapping[str, Any]
    | list[Any]
    | RemembrancerError
    | After
    | Callable[[Prompt], "str | Mapping[str, Any] | list[Any]"]
)
"""The answer to one prompt: a text, a value to send as JSON, an error to raise, a delayed answer,
or a function from prompt to answer."""


class ScriptedModel:
    """A ``LanguageModel`` that gives scripted answers in order.

    Args:
        script: the answers, one per prompt.
        otherwise: the answer after the end of the script. ``None``: a further prompt raises
            ``AssertionError``, which no use-case handles as a model failure.
        model: the model name.
        cost: US dollars per answer; ``None`` for an unknown price.

    Attributes:
        prompts: all prompts so far, in order.
    """

    def __init__(
        self,
        *script: Said,
        otherwise: Said | None = None,
        model: str = "scripted",
        cost: float | None = None,
    ) -> None:
        self.prompts: list[Prompt] = []
        self._model = model
        self._cost = cost
        self._otherwise = otherwise
        self._script: deque[Said] = deque(script)
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The model name."""
        return self._model

    @property
    def unsaid(self) -> int:
        """The number of answers left in the script."""
        return len(self._script)

    async def complete(self, prompt: Prompt) -> Completion:
        """Return the next answer of the script."""
        said = self._next(prompt)
        seconds = 0.0
        while isinstance(said, After):
            seconds += said.seconds
            await asyncio.sleep(said.seconds)
            said = said.said
        if isinstance(said, RemembrancerError):
            raise said
        return self._completion(prompt, said(prompt) if callable(said) else said, seconds)

    def _next(self, prompt: Prompt) -> Said:
        with self._lock:
            self.prompts.append(prompt)
            if self._script:
                return self._script.popleft()
        if self._otherwise is None:
            raise AssertionError(f"the script has no answer to prompt {len(self.prompts)}")
        return self._otherwise

    def _completion(
        self, prompt: Prompt, said: str | Mapping[str, Any] | list[Any], seconds: float
    ) -> Completion:
        text = without_surrogates(said if isinstance(said, str) else json.dumps(said))
        if not text.strip():
            raise ModelError(f"{self._model}: an empty answer")
        asked = " ".join((prompt.system, *(message.content for message in prompt.messages)))
        answer = Answer() if prompt.schema is None else read(text, prompt.schema)
        return Completion(
            text=text,
            parsed=answer.value,
            cut_off=answer.cut_off,
            model=self._model,
            input_tokens=len(asked.split()),
            output_tokens=len(text.split()),
            cost=self._cost,
            latency=seconds,
            parameters={
                "max_tokens": prompt.max_output_tokens,
                "temperature": prompt.temperature,
            },
        )
