"""The fact that an agent's run is remembered by: the task, the steps in order, what came of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import frozen

from remembrancer.application.extraction.rules.entities import MOST, names_in
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.facts.fact import Evidence, FactId, FactKind, Interval, Metadata
from remembrancer.domain.facts.verdicts import Candidate

MOST_STEPS = 30
"""In one fact; nobody follows a longer list."""


@frozen(kw_only=True)
class Procedure:
    """Lines of text, each checked by whoever made them."""

    task: str | None = None
    steps: tuple[str, ...] = ()
    outcome: str | None = None

    @property
    def text(self) -> str:
        """One line for each, without a word of any language."""
        lines = [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        first = [self.task] if self.task else []
        last = [f"→ {self.outcome}"] if self.outcome else []
        return "\n".join((*first, *lines, *last))


def candidate_of(
    procedure: Procedure,
    messages: Sequence[Message],
    *,
    fact_id: str,
    evidence: Collection[Evidence],
    names: Collection[str],
    metadata: Metadata,
) -> Candidate:
    """A procedure as a candidate. It is told by the agent, when the run was over.

    Args:
        procedure: with one step at least.
        messages: of the run, in order, one of them by an agent.
        fact_id: a fresh id.
        evidence: the words that the lines are drawn from.
        names: of those who speak.
        metadata: what the fact is to carry besides.
    """
    lines = procedure.text.split("\n")
    named = dict.fromkeys(name for line in lines for name in names_in(line, frozenset(names)))
    agents = [message for message in messages if message.role is Role.ASSISTANT]
    last = messages[-1]
    return Candidate(
        fact_id=FactId(fact_id),
        scope=last.scope,
        text=procedure.text,
        occurred_at=last.occurred_at,
        kind=FactKind.PROCEDURAL,
        metadata={**metadata, **last.metadata},
        evidence=tuple(dict.fromkeys(evidence)),
        speaker=agents[-1].speaker,
        entities=tuple(named)[:MOST],
        valid=Interval(start=last.occurred_at),
        agent_only=True,
    )
