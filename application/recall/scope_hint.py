"""Say what may be wrong with the ids of a read that found nothing.

Ids are no search terms: a run that a user has is in the user's ledger, so its id alone names
another, empty one.
"""

from __future__ import annotations

from datetime import datetime

from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactQuery, FactStore
from remembrancer.domain.scope import Scope


async def scope_hint(scope: Scope, *, now: datetime, log: AuditLog, facts: FactStore) -> str | None:
    """What may be wrong; ``None`` if the scope has facts, or nothing else has.

    Args:
        scope: the ids of the read.
        now: facts that expired by then don't count.
        log: whether the ledger has events.
        facts: whether fewer ids find facts.

    Raises:
        AdapterUnavailable: the log or the facts did not answer.
    """
    if (await log.head(scope.ledger)).version == 0:
        return _of_empty_ledger(scope)
    owner = _owner(scope)
    if owner == scope:
        return None
    for ids, found_means in ((scope, False), (owner, True)):
        found = await facts.find(FactQuery(scope=ids, now=now, limit=1))
        if bool(found) is not found_means:
            return None
    more = ", ".join(name for name in scope.ids() if name not in owner.ids())
    return f"no fact has this {more}; {', '.join(owner.ids())} alone has some"


def _of_empty_ledger(scope: Scope) -> str:
    if scope.user_id is not None:
        return "nothing was ever told under this user_id"
    kind = "agent" if scope.agent_id is not None else "run"
    return (
        f"nothing was ever told under this {kind}_id alone; what a user said is in the user's "
        "memory: pass user_id, too"
    )


def _owner(scope: Scope) -> Scope:
    if scope.user_id is not None:
        return Scope(user_id=scope.user_id)
    if scope.agent_id is not None:
        return Scope(agent_id=scope.agent_id)
    return Scope(run_id=scope.run_id)
