"""Update a fact explicitly."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from remembrancer.application.edit.edit_fact import EditFact
from remembrancer.application.embedding import Embedding
from remembrancer.application.remember.lagging import embedded
from remembrancer.application.remember.open_relations import open_relations
from remembrancer.application.remember.receipt import Receipt
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.events import Event
from remembrancer.domain.facts.decide import revise
from remembrancer.domain.facts.fact import Fact, FactId, Metadata
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.scope import Scope


class Update:
    """Replaces the text or the metadata of an active fact; the old version stays in its history.

    Args:
        edit_fact: decides on the latest version, and appends.
        links: the relations asserted by the fact.
        embedding: vectors for new texts.
    """

    def __init__(self, *, edit_fact: EditFact, links: LinkHistory, embedding: Embedding) -> None:
        self._edit_fact = edit_fact
        self._links = links
        self._embedding = embedding

    async def __call__(
        self,
        fact_id: FactId,
        *,
        scope: Scope | None,
        text: str | None,
        metadata: Metadata | None,
        reason: str,
        actor: str,
    ) -> Receipt | None:
        """Update a fact. Its relations whose names are no longer in the text end.

        Args:
            fact_id: id of the fact.
            scope: must cover the fact; ``None`` allows any fact.
            text: the new text, ``None`` to keep the old one.
            metadata: the new metadata, replaced as a whole; ``None`` to keep the old one.
            reason: recorded in the event.
            actor: recorded in the event.

        Returns:
            The receipt, ``None`` if nothing changes.

        Raises:
            InvalidRequest: neither text nor metadata is given.
            NotFound: no such fact in that scope, or it is not active.
        """
        if text is None and metadata is None:
            raise InvalidRequest("text", "nothing to change; pass a text or metadata")
        lagging = () if text is None else await embedded(self._embedding, [text])

        async def correct(fact: Fact) -> Sequence[Event]:
            ledger, ids = fact.scope.ledger, [fact.fact_id]
            still_open = await open_relations(self._links, ledger, ids) if text else []
            return revise(
                fact, text=text, metadata=metadata, reason=reason, open_relations=still_open
            )

        receipt = await self._edit_fact(fact_id, correct, scope=scope, actor=actor)
        return receipt and evolve(receipt, lagging=(*lagging, *receipt.lagging))
