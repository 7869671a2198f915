"""The port to a language model: one prompt in, one answer out, no streaming."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import field, frozen

from remembrancer.domain.conversation import Role


@frozen(kw_only=True)
class ChatMessage:
    """One message of a prompt. ``images`` are shown after the text: addresses (``http:``,
    ``https:``), or bytes as ``data:`` URLs.
    """

    role: Role
    content: str
    images: tuple[str, ...] = ()


@frozen(kw_only=True)
class Prompt:
    """A request to a model.

    ``schema`` is the JSON schema that the answer must fit, ``None`` for prose.
    ``max_output_tokens`` is in tokens; ``temperature`` is 0 for answers as repeatable as possible.
    """

    system: str
    messages: tuple[ChatMessage, ...]
    schema: Mapping[str, Any] | None = None
    max_output_tokens: int = 4096
    temperature: float = 0.0


@frozen(kw_only=True)
class Completion:
    """The answer of a model.

    ``text`` is the raw answer. ``parsed`` is the JSON value in it if the prompt has a schema: the
    complete items of a truncated array; ``None`` if the text can't be parsed. ``cut_off``: the
    answer ends before its end; ``None`` if that is not known. ``cost`` is in US dollars, ``None``
    if the price is unknown; ``latency`` is in seconds.
    """

    text: str
    parsed: Any = None
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    latency: float = 0.0
    parameters: Mapping[str, Any] = field(factory=dict)
    cut_off: bool | None = None


class LanguageModel(Protocol):
    """A model behind an API.

    Contract:
        * ``complete`` returns one answer, after at most the configured number of retries; each try
          is bounded by the adapter's timeout.
        * It can be called from several threads or tasks at once.
        * The answer is data: it is returned, never interpreted.
        * An image is shown or refused, never dropped silently; only the provider fetches an
          address, never the adapter.

    Raises:
        AdapterUnavailable: after all retries the model could not be reached, timed out, or refused
            for lack of quota.
        ModelError: no usable answer: it is empty, or a refusal by policy; or the model can't be
            shown an image.
        InvalidRequest: the request itself is wrong (unknown model, bad key); retries are useless.
    """

    @property
    def model(self) -> str:
        """The name of the model, for records."""
        ...

    async def complete(self, prompt: Prompt) -> Completion:
        """Send ``prompt`` and return the answer."""
        ...
