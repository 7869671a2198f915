"""Correct a fact of any status; the versions that were believed before stay in its history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import EllipsisType
from typing import Any

from attrs import evolve, frozen

from remembrancer.application.edit.edit_fact import EditFact
from remembrancer.application.embedding import Embedding
from remembrancer.application.extraction.rules.entities import names_in
from remembrancer.application.remember.lagging import embedded
from remembrancer.application.remember.open_relations import open_relations
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.statements.claims import BELIEVED, claim_of
from remembrancer.application.statements.slot import in_words
from remembrancer.application.statements.slot_timeline import ReadTimeline
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.events import Event, FactCorrected
from remembrancer.domain.facts.decide import misnamed, retimings
from remembrancer.domain.facts.fact import Fact, FactId, Interval
from remembrancer.domain.facts.timeline import Retiming
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.scope import Scope
from remembrancer.domain.text import names


@frozen(kw_only=True)
class Correction:
    """What was wrong about a fact. ``None``, and ``...`` for a time, leave a field as it was; a
    time of ``None`` means that there is no start or no end.
    """

    text: str | None = None
    value: str | None = None
    valid_from: datetime | EllipsisType | None = ...
    valid_to: datetime | EllipsisType | None = ...
    reason: str = ""

    @property
    def empty(self) -> bool:
        """Whether it changes nothing."""
        return self == Correction(reason=self.reason)


class Correct:
    """Corrects one fact.

    Args:
        edit_fact: decides on the latest version, and appends.
        read_timeline: the facts in the slot of the fact.
        links: the relations asserted by the fact.
        embedding: vectors for new texts.
    """

    def __init__(
        self,
        *,
        edit_fact: EditFact,
        read_timeline: ReadTimeline,
        links: LinkHistory,
        embedding: Embedding,
    ) -> None:
        self._edit_fact = edit_fact
        self._read_timeline = read_timeline
        self._links = links
        self._embedding = embedding

    async def __call__(
        self, fact_id: FactId, correction: Correction, *, scope: Scope | None, actor: str
    ) -> Receipt | None:
        """Correct the fact, and the times of the facts that it cuts or that cut it.

        Returns:
            The receipt, ``None`` if the fact is like that already.

        Raises:
            InvalidRequest: nothing is given, the fact would end before it begins, or a value is
                given for a fact that was not stated.
            NotFound: no such fact in that scope.
        """
        if correction.empty:
            raise InvalidRequest(
                "text", "nothing to correct; pass a text, a value, valid_from or valid_to"
            )
        lagging: tuple[str, ...] = ()

        async def correct(fact: Fact) -> Sequence[Event]:
            nonlocal lagging
            corrected = _corrected(fact, correction)
            if corrected.text != fact.text:
                lagging = await embedded(self._embedding, [corrected.text])
            return await self._decided(fact, corrected, correction)

        receipt = await self._edit_fact(fact_id, correct, scope=scope, actor=actor)
        return receipt and evolve(receipt, lagging=(*lagging, *receipt.lagging))

    async def _decided(
        self, fact: Fact, corrected: Fact, correction: Correction
    ) -> Sequence[Event]:
        told = _told(fact, correction)
        if corrected == fact and told == fact.claim:
            return []
        others: Sequence[Event] = ()
        times: dict[str, Any] = {"valid": (told,)} if told != fact.claim else {}
        if fact.status in BELIEVED:
            timeline = await self._read_timeline(fact)
            before = timeline.claims[fact.fact_id]
            claim = evolve(claim_of(corrected, before.order), told=told)
            changes = {
                change.fact_id: change
                for change in timeline.after({**timeline.claims, fact.fact_id: claim})
            }
            own = changes.pop(fact.fact_id, None)
            times = {} if own is None else _times(own)
            reason = correction.reason
            others = retimings(list(changes.values()), timeline.versions(), reason=reason)
        renamed = corrected.text != fact.text
        return [
            FactCorrected(
                fact_id=fact.fact_id,
                version=fact.version,
                text=corrected.text if renamed else None,
                statement=None if corrected.statement == fact.statement else corrected.statement,
                entities=corrected.entities if renamed else None,
                reason=correction.reason,
                **times,
            ),
            *(await self._misnamed(fact, corrected, correction) if renamed else ()),
            *others,
        ]

    async def _misnamed(
        self, fact: Fact, corrected: Fact, correction: Correction
    ) -> Sequence[Event]:
        # The relation of a statement has its value, whatever the text is.
        if fact.statement is not None:
            return ()
        relations = await open_relations(self._links, fact.scope.ledger, [fact.fact_id])
        return misnamed(fact, corrected.text, relations, reason=correction.reason)


def _corrected(fact: Fact, correction: Correction) -> Fact:
    """The fact with its text and its value corrected."""
    text, statement = correction.text, fact.statement
    if correction.value is not None:
        if statement is None:
            raise InvalidRequest(
                "value", "the fact was said, not stated as a value; correct its text"
            )
        if correction.value != statement.value:
            statement = evolve(statement, value=correction.value)
            text = text or in_words(statement)
    if text is None or text == fact.text:
        return evolve(fact, statement=statement)
    # A name that the old text did not have is not from the text: that of the speaker.
    kept = [name for name in fact.entities if names(text, name) or not names(fact.text, name)]
    named = dict.fromkeys((*kept, *names_in(text)))
    return evolve(fact, text=text, statement=statement, entities=tuple(named))


def _told(fact: Fact, correction: Correction) -> Interval:
    claim = fact.claim
    start = claim.start if correction.valid_from is ... else correction.valid_from
    end = claim.end if correction.valid_to is ... else correction.valid_to
    told = Interval(start=start, end=end)
    if told != claim and start is not None and end is not None and end <= start:
        path = "valid_from" if correction.valid_to is ... else "valid_to"
        raise InvalidRequest(
            path, f"the fact would hold from {start.isoformat()} to {end.isoformat()}"
        )
    return told


def _times(own: Retiming) -> dict[str, Any]:
    return {
        "valid": own.valid,
        "told": own.told,
        "status": own.status,
        "superseded_by": own.superseded_by,
    }
