"""Check which tables exist in the schema of the sessions, not in the rest of the search path."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.stores.postgres.sessions import Reader

OWN = "to_regclass(quote_ident(current_schema()) || '.' || {})"
"""SQL template for the table with a name (``{}``); ``NULL`` if there is none."""


async def are_there(connection: Reader, tables: Sequence[str]) -> bool:
    """Whether all of these tables exist. The names must need no quotes."""
    return await _count(connection, tables) == len(tables)


async def any_is_there(connection: Reader, tables: Sequence[str]) -> bool:
    """Whether one of these tables exists. The names must need no quotes."""
    return await _count(connection, tables) > 0


async def _count(connection: Reader, tables: Sequence[str]) -> int:
    cursor = await connection.execute(
        f"SELECT count({OWN.format('name')}) FROM unnest(%s::text[]) AS made (name)",
        (list(tables),),
    )
    count: int = (await cursor.fetchall())[0][0]
    return count
