"""Explain a fact: the events that made its versions, and what led to them.

No index is kept for it. Appends are found by their time, and what an explanation refers to is in
the same append, or read by its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from remembrancer.application.audit.ledger_appends import LedgerAppends
from remembrancer.application.recall.browse import Browse
from remembrancer.domain.audit.explanation import (
    Sources,
    Traced,
    erased_messages,
    explain,
    neighbours_of,
    replaced_by,
    trace,
    wording,
)
from remembrancer.domain.audit.provenance import Why
from remembrancer.domain.errors import NotFound
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.facts.fact import Fact, FactId, MessageId
from remembrancer.domain.places import fact_of
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recorded import CorrelationId, Recorded
from remembrancer.domain.scope import LedgerId, Scope


class ExplainFact:
    """Follows the versions of a fact back to what led to them.

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
        ledger = fact.scope.ledger
        appends = await self._appends(ledger, told)
        traces, requests = await self._traces(told, appends)
        replaced = [
            (item, _until(await self._facts.versions(ended), item.recorded_at))
            for ended, item in replaced_by(traces, appends).items()
        ]
        replaced = [(item, history) for item, history in replaced if history]
        cited = [each.message_id for _, history in replaced for each in wording(history)]
        sources = await self._sources(ledger, traces, cited, requests, scope)
        by = fact.superseded_by
        ended_by = await self._facts.versions(by) if by is not None else ()
        return explain(
            traces, sources, replaced=replaced, ended_by=_then(ended_by, fact.updated_at)
        )

    async def _appends(
        self, ledger: LedgerId, told: Sequence[Fact]
    ) -> Mapping[datetime, Sequence[Recorded]]:
        """The appends that made the versions, by their times."""
        appends = LedgerAppends(self._log, ledger)
        moments = dict.fromkeys(fact.updated_at for fact in told)
        return {moment: await appends.at(moment) for moment in moments}

    async def _traces(
        self, told: Sequence[Fact], appends: Mapping[datetime, Sequence[Recorded]]
    ) -> tuple[list[Traced], dict[CorrelationId, Sequence[Recorded]]]:
        """Follow the versions; the requests whose events are not all in the appends are read."""
        histories: dict[FactId, Sequence[Fact]] = {told[0].fact_id: told}
        for rival in {rival for fact in told for rival in fact.rivals}:
            histories[rival] = await self._facts.versions(rival)
        traces = trace(told, appends, histories, {})
        requests: dict[CorrelationId, Sequence[Recorded]] = {}
        for each in traces:
            if each.item is not None and each.lacks_cause:
                await self._read_request(each.item.correlation_id, requests)
        if requests:
            traces = trace(told, appends, histories, requests)
        return traces, requests

    async def _read_request(
        self, request: CorrelationId, requests: dict[CorrelationId, Sequence[Recorded]]
    ) -> None:
        if request not in requests:
            requests[request] = await self._log.read_correlation(request)

    async def _sources(
        self,
        ledger: LedgerId,
        traces: Sequence[Traced],
        cited: Sequence[MessageId],
        requests: dict[CorrelationId, Sequence[Recorded]],
        scope: Scope | None,
    ) -> Sources:
        keys = {
            key
            for each in traces
            if each.chosen is not None
            for key, _ in neighbours_of(each.chosen)
        }
        ids = dict.fromkeys((*(e.message_id for each in traces for e in each.evidence), *cited))
        if scope is not None:
            # An answer is shown if all that it may speak of is the caller's.
            for event in _inferences(traces):
                ids |= dict.fromkeys((*event.seen, *event.messages))
                keys |= {fact_of(place) for place in event.shown.values() if "@" in place}
        messages = {each.message_id: each for each in await self._facts.messages(ledger, list(ids))}
        for each in traces:
            missing = any(cited.message_id not in messages for cited in each.evidence)
            if missing and each.item is not None:
                await self._read_request(each.item.correlation_id, requests)
        facts = await self._facts.load(sorted(keys))
        return Sources(
            scope=scope,
            messages=messages,
            facts={fact.key: fact for fact in facts if fact.scope.ledger == ledger},
            erased=frozenset(key for key, read in requests.items() if erased_messages(read)),
        )


def _inferences(traces: Sequence[Traced]) -> list[InferenceRecorded]:
    found = [item.event for each in traces for item in each.inferences]
    return [event for event in found if isinstance(event, InferenceRecorded)]


def _until(versions: Sequence[Fact], moment: datetime) -> Sequence[Fact]:
    """The versions of a fact before a moment."""
    return [fact for fact in versions if fact.updated_at < moment]


def _then(versions: Sequence[Fact], moment: datetime) -> Fact | None:
    """The version of a fact at a moment."""
    then = [fact for fact in versions if fact.updated_at <= moment]
    return then[-1] if then else None


def _chosen(versions: Sequence[Fact], version: int | None) -> Fact:
    if version is None:
        return versions[-1]
    for fact in versions:
        if fact.version == version:
            return fact
    raise NotFound(f"there is no version {version} of fact {versions[0].fact_id}, or not yet then")
