"""Check the privileges of the role. Without USAGE on a schema, PostgreSQL does not refuse to look
up a table there, but behaves as if there were none.
"""

from __future__ import annotations

from remembrancer.adapters.stores.postgres.sessions import Reader
from remembrancer.domain.errors import SettingsError

_GRANTS = (
    "SELECT quote_ident(current_user), quote_ident(current_database()), quote_ident(%s), "
    "space.oid IS NOT NULL, coalesce(has_schema_privilege(space.oid, 'USAGE'), true), "
    "CASE WHEN space.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE') "
    "ELSE has_schema_privilege(space.oid, 'CREATE') END "
    "FROM (SELECT) AS one LEFT JOIN pg_namespace AS space ON nspname = %s"
)


async def check_grants(
    connection: Reader, schema: str, path: str, *, creates: bool = False
) -> bool:
    """Check that the role may use the schema; return whether the schema exists.

    Args:
        connection: to the database.
        schema: name of the schema, not quoted.
        path: the setting with that name, for errors.
        creates: whether tables have to be created in the schema, or the schema itself.

    Raises:
        SettingsError: names the missing grant.
    """
    cursor = await connection.execute(_GRANTS, (schema, schema))
    ((role, database, name, exists, usable, creatable),) = await cursor.fetchall()
    lacking = "" if usable else f"USAGE ON SCHEMA {name}"
    if creates and not creatable:
        lacking = f"CREATE ON SCHEMA {name}" if exists else f"CREATE ON DATABASE {database}"
    if lacking:
        raise SettingsError(
            path,
            f"the role {role} lacks a privilege; as its owner, run GRANT {lacking} TO {role}",
        )
    return bool(exists)
