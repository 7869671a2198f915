"""``ProjectionState`` in the log's SQLite file: checkpoints, leases and dead letters of external
projections.

A writing transaction excludes all other writers, so that only one of two competing processes
succeeds.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, TypeVar

from remembrancer.adapters.stores.shared.escaping import NO_ESCAPING
from remembrancer.adapters.stores.shared.projection_scripts import Now, ProjectionScripts
from remembrancer.adapters.stores.shared.scripts import Script
from remembrancer.adapters.stores.sqlite.database import Database
from remembrancer.adapters.stores.sqlite.run_script import run_script
from remembrancer.adapters.stores.sqlite.schema_sql import create
from remembrancer.domain.ports.projection_state import (
    DeadLetter,
    Feed,
    Lease,
    PartitionId,
    PartitionState,
)
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")


def create_projection_state(connection: sqlite3.Connection) -> None:
    """Create the tables of the projection state (schema version 3)."""
    create(connection, _define)


def _define(schema: sqlite_utils.Database) -> None:
    schema.table("feed").create(
        {
            "projection": str,
            "partition": int,
            "fingerprint": str,
            "position": int,
            "token": int,
            "owner": str,
            "expires": float,
            "must_clear": int,
            "problem": str,
        },
        pk=("projection", "partition"),
        not_null={"fingerprint", "position", "token", "expires", "must_clear"},
    )
    schema.table("dead_letter").create(
        {
            "projection": str,
            "position": int,
            "partition": int,
            "version": int,
            "event_id": str,
            "ledger": str,
            "type_name": str,
            "cause": str,
            "tries": int,
            "since": int,
        },
        pk=("projection", "position"),
        not_null={
            "partition",
            "version",
            "event_id",
            "ledger",
            "type_name",
            "cause",
            "tries",
            "since",
        },
    )
    schema.table("dead_letter").create_index(["projection", "ledger", "position"])
    schema.table("worker").create(
        {"owner": str, "expires": float}, pk="owner", not_null={"expires"}
    )


class SqliteProjectionState:
    """``ProjectionState`` on a ``Database`` whose migrations include ``create_projection_state``.

    Args:
        database: the open database.
        now: returns seconds since 1970. All processes on one file share the machine's clock.
    """

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._scripts = ProjectionScripts(lambda: Now("%s", (now(),)), NO_ESCAPING)

    def _read(self, script: Script[T]) -> T:
        with self._database.reader() as connection:
            return run_script(connection, script)

    def _change(self, script: Script[T]) -> T:
        return self._database.write(lambda connection: run_script(connection, script))

    def enrol(self, feed: Feed) -> None:
        """See ``ProjectionState.enrol``."""
        if len(self.partition_states(feed.projection)) != feed.partitions:
            self._change(self._scripts.enrol(feed))

    def partition_states(self, projection: str) -> Sequence[PartitionState]:
        """See ``ProjectionState.partition_states``."""
        return self._read(self._scripts.partition_states(projection))

    def reach(self, feed: Feed, ledger: LedgerId) -> Position:
        """See ``ProjectionState.reach``."""
        return self._read(self._scripts.reach(feed, ledger))

    def acquire(self, feed: Feed, partition: int, *, owner: str, seconds: float) -> Lease | None:
        """See ``ProjectionState.acquire``."""
        return self._change(
            self._scripts.acquire(feed, partition, owner=owner, seconds=seconds),
        )

    def renew(self, owner: str, held: Collection[PartitionId], seconds: float) -> int:
        """See ``ProjectionState.renew``."""
        return self._change(self._scripts.renew(owner, held, seconds))

    def advance(
        self,
        lease: Lease,
        position: Position,
        *,
        dead: Sequence[DeadLetter] = (),
        revived: Sequence[Position] = (),
    ) -> bool:
        """See ``ProjectionState.advance``."""
        return self._change(self._scripts.advance(lease, position, dead=dead, revived=revived))

    def cleared(self, lease: Lease) -> bool:
        """See ``ProjectionState.cleared``."""
        return self._change(self._scripts.cleared(lease))

    def release(self, lease: Lease, problem: str | None = None) -> None:
        """See ``ProjectionState.release``."""
        self._change(self._scripts.release(lease, problem))

    def restart(self, feed: Feed) -> None:
        """See ``ProjectionState.restart``."""
        self._change(self._scripts.restart(feed))

    def dead_letters(
        self,
        projection: str,
        *,
        partition: int | None = None,
        after: Position | None = None,
        limit: int = 1000,
    ) -> Sequence[DeadLetter]:
        """See ``ProjectionState.dead_letters``."""
        return self._read(
            self._scripts.dead_letters(projection, partition=partition, after=after, limit=limit)
        )
