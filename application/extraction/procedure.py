"""The procedure of an agent's run as one fact: the task, the steps in order, the outcome."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import frozen

from remembrancer.application.extraction.rules.entities import MOST, names_in
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.facts.fact import Evidence, FactId, FactKind, Interval, Metadata
from remembrancer.domain.facts.verdicts import Candidate

MOST_STEPS = 30
"""Steps in one fact."""


@frozen(kw_only=True)
class Procedure:
    """The lines of a procedure, already checked."""

    task: str | None = None
    steps: tuple[str, ...] = ()
    outcome: str | None = None

    @property
    def text(self) -> str:
        """One line per item, in a format that belongs to no language."""
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
    """A candidate from a procedure. Its speaker is the agent, its time that of the last message.

    Args:
        procedure: has at least one step.
        messages: of the run, in order; at least one is an agent's.
        fact_id: a new id.
        evidence: the quotes behind the lines.
        names: of the speakers.
        metadata: of the fact; the last message's metadata takes precedence.
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
