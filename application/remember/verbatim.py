"""``infer=False``: store every message as a fact, without extraction and reconciliation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from remembrancer.application.extraction.rules.entities import names_in
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.facts.fact import Evidence, Fact, FactId, Interval
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.ports.extractor import EXTRACTION, Extraction, skipped_as_json
from remembrancer.domain.ports.reconciler import Reconciliation
from remembrancer.domain.text import normalised

VERBATIM = "verbatim"


def verbatim_candidates(messages: Sequence[Message], ids: IdSource) -> list[Candidate]:
    """One candidate per message, word for word, valid from the time of the message."""
    return [
        Candidate(
            fact_id=FactId(ids.new()),
            scope=message.scope,
            text=message.text,
            occurred_at=message.occurred_at,
            metadata=message.metadata,
            evidence=(Evidence(message_id=message.message_id),),
            speaker=message.speaker,
            entities=names_in(message.text),
            valid=Interval(start=message.occurred_at),
        )
        for message in messages
    ]


def verbatim_extraction(messages: Sequence[Message], ids: IdSource) -> Extraction:
    """The candidates of observed messages, with the record that finishes these messages."""
    inference = InferenceRecorded(
        purpose=EXTRACTION,
        model=VERBATIM,
        prompt_digest="",
        output=skipped_as_json(()),
        messages=tuple(message.message_id for message in messages),
    )
    candidates = tuple(verbatim_candidates(messages, ids))
    return Extraction(candidates=candidates, skipped=(), inferences=(inference,))


class VerbatimReconciler:
    """Reaffirms a fact with the same scope, speaker, text, metadata and expiry; adds everything
    else.

    Args:
        reason: recorded with each added fact.
    """

    def __init__(self, reason: str = "stored verbatim") -> None:
        self._reason = reason

    async def reconcile(
        self,
        candidates: Sequence[Candidate],
        neighbours: Sequence[Mapping[FactId, tuple[Fact, float]]],
    ) -> Reconciliation:
        """See ``Reconciler.reconcile``."""
        earlier: dict[tuple[object, ...], FactId] = {}
        proposals: list[Proposal] = []
        for candidate, near in zip(candidates, neighbours, strict=True):
            twin = earlier.get(_identity(candidate)) or next(
                (
                    fact.fact_id
                    for fact, _ in near.values()
                    if _identity(fact) == _identity(candidate)
                ),
                None,
            )
            if twin is None:
                earlier[_identity(candidate)] = candidate.fact_id
                proposals.append(Proposal(decision=Decision.ADD, reason=self._reason))
            else:
                proposals.append(
                    Proposal(
                        decision=Decision.REAFFIRM, target=twin, reason="said before, word for word"
                    )
                )
        return Reconciliation(proposals=tuple(proposals))


def _identity(item: Candidate | Fact) -> tuple[object, ...]:
    metadata = json.dumps(dict(item.metadata), sort_keys=True)
    # A question is not the statement with its words; equality of texts ignores the mark.
    asks = item.text.rstrip().endswith(("?", "？", "؟"))
    return (item.scope, item.speaker, normalised(item.text), asks, metadata, item.expires_at)
