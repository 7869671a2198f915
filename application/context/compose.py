"""Context: search, and write the best facts as a text within a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from remembrancer.application.context.styles import (
    Group,
    Style,
    fenced,
    grouped,
    part,
    written,
)
from remembrancer.application.recall.recall import Recall, RecallRequest
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.ports.token_counter import TokenCounter

MOST = 50
"""Facts to choose from. On LoCoMo they hold nine of ten of the turns that a question needs."""

LONGEST_TOKEN = 200
"""Characters; in cl100k_base, the longest one has 128."""


@frozen(kw_only=True)
class Context:
    """Text for a prompt; ``str`` gives the text.

    ``tokens``: its length, counted by ``counter`` (an encoding, or ``estimate``). ``fact_ids``: the
    facts in it, in their order there. ``left_out``: facts that were found and did not fit. A text
    without facts is empty. ``degraded``: see ``SearchResult``.
    """

    text: str
    tokens: int
    fact_ids: tuple[FactId, ...]
    left_out: int
    counter: str
    degraded: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {
            "text": self.text,
            "tokens": self.tokens,
            "fact_ids": list(self.fact_ids),
            "left_out": self.left_out,
            "counter": self.counter,
            "degraded": list(self.degraded),
        }


class ComposeContext:
    """Finds facts for a question and writes them for a prompt.

    Args:
        recall: the search.
        counter: counts tokens.
    """

    def __init__(self, *, recall: Recall, counter: TokenCounter) -> None:
        self._recall = recall
        self._counter = counter

    async def __call__(self, request: RecallRequest, *, max_tokens: int, style: Style) -> Context:
        """Search, and write what fits.

        Raises:
            AdapterUnavailable: the index or the facts did not answer.
        """
        found = await self._recall(request)
        return await composed(
            [item.fact for item in found],
            self._counter,
            max_tokens=max_tokens,
            style=style,
            degraded=found.degraded,
        )


async def composed(
    facts: Sequence[Fact],
    counter: TokenCounter,
    *,
    max_tokens: int,
    style: Style,
    degraded: tuple[str, ...] = (),
) -> Context:
    """The best facts that fit, best first; rivals come together or not at all."""
    groups = await _fitting(grouped(facts), counter, max_tokens, style)
    while True:
        text, ids = written(groups, style)
        (tokens,) = await counter.count([text])
        if tokens <= max_tokens:
            break
        # The whole may have more tokens than its parts.
        groups.pop()
    return Context(
        text=text,
        tokens=tokens,
        fact_ids=ids,
        left_out=len(facts) - len(ids),
        counter=counter.name,
        degraded=degraded,
    )


async def _fitting(
    groups: Sequence[Group], counter: TokenCounter, max_tokens: int, style: Style
) -> list[Group]:
    parts = {index: part(group, style) for index, group in enumerate(groups)}
    # No token is that long: such a text need not be counted.
    possible = {
        index: text for index, text in parts.items() if len(text) <= max_tokens * LONGEST_TOKEN
    }
    around, *sizes = await counter.count([fenced(()), *possible.values()])
    room = max_tokens - around
    fitting: list[Group] = []
    for index, size in zip(possible, sizes, strict=True):
        if size <= room:
            fitting.append(groups[index])
            room -= size
    return fitting
