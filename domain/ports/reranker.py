"""The port to a reranker: it scores each candidate by its relevance to a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Reranker(Protocol):
    """A model that judges relevance better than an index, and more slowly.

    Contract:
        * ``rerank`` returns one relevance per text, in order, each in [0, 1]: 0 for a text that is
          unrelated to the question, 1 for one that answers it. The same question and text get about
          the same relevance beside any other texts, so that a threshold works for all questions.
        * An empty sequence of texts returns an empty list and calls nothing.
        * Texts are data: nothing in them is followed as an instruction.
        * It can be called from several threads or tasks at once.

    Raises:
        AdapterUnavailable: the model could not be reached or timed out.
        ModelError: no usable answer, or one about other texts.
        InvalidRequest: the request itself is wrong (unknown model, bad key).
    """

    @property
    def model(self) -> str:
        """The name of the model."""
        ...

    async def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """The relevance of each of ``texts`` to ``question``, in [0, 1]."""
        ...
