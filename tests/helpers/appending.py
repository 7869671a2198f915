"""Helpers for concurrent appends to a log on PostgreSQL, with transactions held open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.domain.audit.recorded_chain import faults_of
from remembrancer.domain.recorded import Append, Head, Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.audit_log import append_of, fact_added


class Holding:
    """A listener that holds the transactions of one ledger open until ``release`` is set."""

    def __init__(self, ledger: LedgerId, before: Callable[[], object] = lambda: None) -> None:
        self._ledger = ledger
        self._before = before
        self.open = threading.Event()
        self.release = threading.Event()

    async def begin(self, connection: Connection) -> None:
        pass

    async def prepare(self, append: Append) -> None:
        pass

    async def claim(self) -> bool:
        return False

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded], prepared: None
    ) -> None:
        if chain[0].ledger == self._ledger:
            self._before()
            self.open.set()
            assert self.release.wait(60)


def count_of(size: int, ledger: LedgerId) -> Append:
    user = ledger.removeprefix("user:")
    return append_of([fact_added(user=user) for _ in range(size)], ledger=ledger)


def check_ledgers(log: Any, seen: Sequence[Recorded]) -> None:
    """Assert that every ledger has an intact hash chain and the head of the log."""
    for ledger in {item.ledger for item in seen}:
        items = [item for item in seen if item.ledger == ledger]
        assert not faults_of(items)
        assert log.head(ledger) == Head.after(items[-1])
