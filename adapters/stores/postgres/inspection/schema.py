"""Check what belongs to no single ledger on PostgreSQL: functions, triggers and rules of the
schema, and the state of deliveries.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from remembrancer.adapters.stores.postgres.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.adapters.stores.shared.delivery_rows import check_dead_letters, check_feeds
from remembrancer.domain.audit.comparison import Comparison
from remembrancer.domain.audit.faults import LOG, RESTORE, Fault, FaultKind, shown_apart

_FUNCTION = re.compile(r"\s*CREATE FUNCTION [^(]*?(\w+)\s*\(.*?\$\$(.*)\$\$", re.DOTALL)

_FUNCTIONS = (
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
)
_IN_THE_WAY = (
    ("trigger", "SELECT relname, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
     "WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal"),
    ("rule", "SELECT relname, rulename FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class "
     "WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"),
    ("row security", "SELECT relname, relname FROM pg_class "
     "WHERE relnamespace = current_schema()::regnamespace AND relrowsecurity"),
)  # fmt: skip
"""What makes reads or writes of a table do something else."""

_DEAD_LETTERS = (
    "SELECT projection, dead.position, dead.version, dead.event_id, dead.ledger, dead.type_name, "
    "event.version, replace(event.event_id::text, '-', ''), ledger.name, event.type "
    "FROM dead_letter AS dead "
    "LEFT JOIN place ON dead.position BETWEEN first_position AND last_position "
    "LEFT JOIN ledger ON ledger.id = place.ledger_id "
    "LEFT JOIN event ON event.ledger_id = place.ledger_id "
    "AND event.version = first_version + dead.position - first_position"
)


@frozen
class SchemaInspection:
    """Checks the schema as a whole, in one snapshot.

    Args:
        connection: in a reading transaction, in the schema.
        schema: its name, in quotes if it needs them.
        comparison: reports what differs.
    """

    connection: Connection
    schema: str
    comparison: Comparison

    async def functions(self) -> None:
        """Check that the functions are those that were created, and that nothing makes reads and
        writes of the tables do something else.
        """
        found = dict(await self._select(_FUNCTIONS))
        for name, body in _created(self.schema).items():
            if found.get(name) != body:
                self._differs(f"function {name}", *shown_apart(body, found.get(name, "none")))
        for kind, sql in _IN_THE_WAY:
            for table, name in await self._select(sql):
                self._differs(table, "none", f"{kind} {name}")

    async def deliveries(self) -> None:
        """Check the progress of deliveries to external engines, and the events given up."""
        ((last,),) = await self._select("SELECT coalesce(max(last_position), 0) FROM place")
        feeds = "SELECT projection, partition, position FROM feed ORDER BY projection, partition"
        check_feeds(self.comparison, await self._select(feeds), last)
        check_dead_letters(self.comparison, await self._select(_DEAD_LETTERS))

    async def _select(self, sql: str) -> Sequence[Any]:
        return await (await self.connection.execute(sql)).fetchall()

    def _differs(self, name: str, expected: str, found: str) -> None:
        self.comparison.findings.fault(
            Fault(
                kind=FaultKind.SCHEMA_DIFFERS,
                projection=LOG,
                table=name,
                expected=expected,
                found=found,
                help=RESTORE,
            )
        )


def _created(schema: str) -> dict[str, str]:
    """The bodies of the functions that were created with a schema, by name."""
    # They are the same with any number of partitions.
    statements = [statement for migration in SCHEMA_VERSIONS for statement in migration(schema, 1)]
    found = [match for match in map(_FUNCTION.match, statements) if match is not None]
    return {match[1]: match[2] for match in found}
