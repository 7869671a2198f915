"""The port to a language model: one prompt in, one answer out, nothing streamed."""

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
    """What a model is asked.

    ``schema`` is the JSON schema that the answer must fit, ``None`` for prose. Limits are in
    tokens; ``temperature`` is 0 for answers as repeatable as the model allows.
    """

    system: str
    messages: tuple[ChatMessage, ...]
    schema: Mapping[str, Any] | None = None
    max_output_tokens: int = 4096
    temperature: float = 0.0


@frozen(kw_only=True)
class Completion:
    """What a model answered.

    ``text`` is the raw answer. ``parsed`` is the JSON value in it where a schema was asked for:
    of a truncated array the complete items, ``None`` where nothing can be made of the text.
    ``cost`` is in US dollars, ``None`` where the price is not known; ``latency`` in seconds.
    """

    text: str
    parsed: Any = None
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    latency: float = 0.0
    parameters: Mapping[str, Any] = field(factory=dict)


class LanguageModel(Protocol):
    """A model behind an API.

    Contract:
        * ``complete`` returns one answer, after as many bounded retries as the adapter is set to;
          it never waits longer than the adapter's timeout for one try.
        * It may be called from several threads or tasks at once.
        * What the model says is data: it is returned, never interpreted.
        * An image is shown or refused, never left out in silence; an address is for the provider
          to fetch, never for the adapter.

    Raises:
        AdapterUnavailable: the model could not be reached, refused for lack of quota, or did not
            answer in time, after all retries.
        ModelError: it answered with nothing usable: an empty answer, or a refusal by policy; or
            an image can't be shown to it.
        InvalidRequest: the request itself is wrong (unknown model, bad key), so that trying again
            is of no use.
    """

    @property
    def model(self) -> str:
        """The name of the model, as recorded."""
        ...

    async def complete(self, prompt: Prompt) -> Completion:
        """Ask."""
        ...
