"""Which tables are there, in the schema of the sessions: one in ``public`` is somebody else's."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.stores.postgres.sessions import Reader

OWN = "to_regclass(quote_ident(current_schema()) || '.' || {})"
"""The table of a name, which is to be put in, as SQL; ``NULL`` if there is none."""


async def are_there(connection: Reader, tables: Sequence[str]) -> bool:
    """Whether all of some tables are there, by names that need no quotes."""
    cursor = await connection.execute(
        f"SELECT bool_and({OWN.format('name')} IS NOT NULL) FROM unnest(%s::text[]) AS made (name)",
        (list(tables),),
    )
    return await cursor.fetchall() == [(True,)]
