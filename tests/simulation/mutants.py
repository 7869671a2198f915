"""Mends taken out again, one at a time: the simulation must find each fault that they prevent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import pytest
from attrs import evolve, frozen

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.projection_state import InMemoryProjectionState
from remembrancer.adapters.stores.shared import chaining
from remembrancer.application.projections.delivery import IndexDelivery
from remembrancer.application.projections.second_delivery import SecondDelivery
from remembrancer.application.recall import checked_hits
from remembrancer.application.remember.settle import Settle
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.recall.permission import Read, permits
from remembrancer.domain.recorded import Append, Recorded

Patch: TypeAlias = Callable[[pytest.MonkeyPatch], None]


@frozen(kw_only=True)
class Mutant:
    """A mend taken out.

    Args:
        take_out: does so.
        kind: the kind of ``Foul`` that it leads to.
        seeds: one of these must find it.
    """

    take_out: Patch
    kind: str
    seeds: Sequence[int]


def _no_repair(patch: pytest.MonkeyPatch) -> None:
    async def repair(_self: IndexDelivery, _chain: Sequence[Recorded]) -> None:
        """What a late delivery overwrote stays overwritten."""

    patch.setattr(IndexDelivery, "repair", repair)


def _no_second_delivery(patch: pytest.MonkeyPatch) -> None:
    async def is_due(_self: SecondDelivery, _partition: int) -> bool:
        return False

    patch.setattr(SecondDelivery, "is_due", is_due)


def _no_expected_version(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(chaining, "check_version", lambda _append, _head: None)


def _no_idempotency_keys(patch: pytest.MonkeyPatch) -> None:
    append = InMemoryAuditLog.append

    def forgetful(self: InMemoryAuditLog, wanted: Append) -> Any:
        return append(self, evolve(wanted, idempotency_key=None))

    patch.setattr(InMemoryAuditLog, "append", forgetful)


def _no_fencing(patch: pytest.MonkeyPatch) -> None:
    # The second delivery would hide it. Storms, which have no other late puts, don't need it.
    _no_second_delivery(patch)

    def held(self: InMemoryProjectionState, lease: Any) -> Any:
        return self._rows[lease.projection][lease.partition]

    patch.setattr(InMemoryProjectionState, "_held", held)


def _no_second_look_at_the_scope(patch: pytest.MonkeyPatch) -> None:
    @frozen
    class Anybodys:
        _read: Any
        scope: Any

        def __getattr__(self, name: str) -> Any:
            return getattr(self._read, name)

    def trusting(read: Read, fact: Fact) -> bool:
        anybodys: Any = Anybodys(read, fact.scope)
        return permits(anybodys, fact)

    patch.setattr(checked_hits, "permits", trusting)


def _no_second_look_at_the_request(patch: pytest.MonkeyPatch) -> None:
    async def superfluous(_self: Settle, _matter: object, _head: object) -> bool:
        return False

    patch.setattr(Settle, "_superfluous", superfluous)


MUTANTS: Mapping[str, Mutant] = {
    "repair after a late delivery": Mutant(
        take_out=_no_repair, kind="newest delivery", seeds=range(1, 800, 4)
    ),
    "second delivery": Mutant(
        take_out=_no_second_delivery, kind="newest delivery", seeds=range(400)
    ),
    "fencing token of a lease": Mutant(
        take_out=_no_fencing, kind="newest delivery", seeds=range(1, 400, 4)
    ),
    "expected version of an append": Mutant(
        take_out=_no_expected_version, kind="exactly once", seeds=range(100)
    ),
    "idempotency key": Mutant(take_out=_no_idempotency_keys, kind="exactly once", seeds=range(100)),
    "progress of a request": Mutant(
        take_out=_no_second_look_at_the_request, kind="exactly once", seeds=range(100)
    ),
    "scope of loaded facts": Mutant(
        take_out=_no_second_look_at_the_scope, kind="scope", seeds=range(2, 800, 4)
    ),
}
