"""Explain a fact: which events made its versions."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.application.audit.ledger_appends import LedgerAppends
from remembrancer.application.recall.browse import Browse
from remembrancer.domain.audit.provenance import Step, Why, makers
from remembrancer.domain.errors import NotFound
from remembrancer.domain.facts.fact import Fact, FactId, FactKey
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import Scope


class ExplainFact:
    """Follows the versions of a fact back to the events that made them.

    Args:
        log: the log.
        facts: the facts as of the last append.
        browse: the versions of a fact that a scope may see.
    """

    def __init__(self, *, log: AuditLog, facts: FactStore, browse: Browse) -> None:
        self._log = log
        self._facts = facts
        self._browse = browse

    async def __call__(
        self,
        fact_id: FactId,
        *,
        version: int | None = None,
        as_of: object = None,
        scope: Scope | None = None,
    ) -> Why:
        """Explain the latest version, or ``version``, or the one believed at ``as_of``.

        Raises:
            InvalidRequest: ``as_of`` is refused.
            NotFound: no such fact or version in that scope, or not recorded yet at that time.
        """
        versions = await self._browse.history(fact_id, scope=scope, as_of=as_of)
        fact = _chosen(versions, version)
        told = [each for each in versions if each.version <= fact.version]
        made = await self._makers(told)
        return Why(
            fact=fact,
            versions=tuple(_step(each, made[each.key]) for each in told if each.key in made),
        )

    async def _makers(self, told: Sequence[Fact]) -> dict[FactKey, Recorded]:
        """The events that made versions of a fact; a version that no event made is left out."""
        appends = LedgerAppends(self._log, told[0].scope.ledger)
        histories = {told[0].fact_id: told}
        for rival in {rival for fact in told for rival in fact.rivals}:
            histories[rival] = await self._facts.versions(rival)
        made: dict[FactKey, Recorded] = {}
        for moment in dict.fromkeys(fact.updated_at for fact in told):
            append = await appends.at(moment)
            made |= makers(append, histories) if append else {}
        return made


def _chosen(versions: Sequence[Fact], version: int | None) -> Fact:
    if version is None:
        return versions[-1]
    for fact in versions:
        if fact.version == version:
            return fact
    raise NotFound(f"there is no version {version} of fact {versions[0].fact_id}, or not yet then")


def _step(fact: Fact, item: Recorded) -> Step:
    return Step(
        version=fact.version,
        text=fact.text,
        event_id=item.event_id,
        position=item.position,
        recorded_at=item.recorded_at,
        actor=item.actor,
        correlation_id=item.correlation_id,
        type=item.type_name,
        reason=fact.reason,
    )
