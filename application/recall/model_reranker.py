"""The reranker over the language model: one call for all candidates, grades from 0 to 10.

Unlike extraction, its calls are not recorded: a search writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from remembrancer.application.extraction.model.drafts import items_of, structured
from remembrancer.application.prompting.model_call import ModelCall
from remembrancer.application.prompting.prompt_fence import PromptFence
from remembrancer.application.prompting.prompt_template import prepare
from remembrancer.domain.errors import ModelError
from remembrancer.domain.ports.language_model import LanguageModel

PROMPT = "reranking-1"
BEST = 10
TOKENS_PER_GRADE = 24
"""Output tokens; ``{"fact": 100, "grade": 10}`` has about 12."""

LONGEST_SHOWN = 2_000
"""Characters of a fact in the prompt."""


@frozen(kw_only=True)
class _Grade:
    """A grade as a model gives it, unchecked."""

    fact: int
    grade: float


class ModelReranker:
    """A ``Reranker`` over a language model.

    Args:
        model: the language model.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._model.model

    async def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """See ``Reranker.rerank``. A fact without a grade gets 0."""
        if not texts:
            return []
        completion = await self._model.complete(_question(question, texts).prompt)
        grades = _grades(items_of(completion.parsed, "grades"))
        if grades.keys().isdisjoint(range(1, len(texts) + 1)):
            raise ModelError(f"{completion.model}: no fact in the prompt has a grade")
        return [grades.get(number, 0.0) / BEST for number in range(1, len(texts) + 1)]


def _question(question: str, texts: Sequence[str]) -> ModelCall:
    fence = PromptFence.around((question, *texts))
    return ModelCall.of(
        "reranking",
        prepare(PROMPT, {}),
        {
            "mark": fence.mark,
            "question": fence.enclose("question", {}, question),
            "facts": "\n".join(
                fence.enclose("fact", {"n": number}, text[:LONGEST_SHOWN])
                for number, text in enumerate(texts, 1)
            ),
        },
        schema=_SCHEMA,
        max_output_tokens=64 + TOKENS_PER_GRADE * len(texts),
    )


def _grades(items: Sequence[object] | None) -> dict[int, float]:
    grades: dict[int, float] = {}
    for item in items or ():
        try:
            draft = structured(item, _Grade)
        except ValueError:
            # Skip a malformed grade, keep the others.
            continue
        grades.setdefault(draft.fact, min(float(BEST), max(0.0, draft.grade)))
    return grades


_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "grades": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"fact": {"type": "integer"}, "grade": {"type": "number"}},
                "required": ["fact", "grade"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["grades"],
    "additionalProperties": False,
}
