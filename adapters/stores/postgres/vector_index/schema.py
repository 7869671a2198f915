"""DDL of the index tables, and detection of pgvector.

``document`` holds the vectors, ``wording`` the terms and the fields for filters. Both repeat scope
and times, so that a vector search does not read the other table, nor a keyword search. The column
``vector`` has the type ``vector`` if pgvector is available, else ``bytea`` (little-endian floats).
"""

from __future__ import annotations

import re

from attrs import frozen

from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.existing_tables import OWN, are_there
from remembrancer.adapters.stores.postgres.filters import create_casefold
from remembrancer.adapters.stores.postgres.sessions import Connection, Reader
from remembrancer.domain.errors import InvalidRequest

FORMAT = 1
"""Version of the tables and their contents; increased with every change."""

LONGEST_PREFIX = 30
"""Characters; PostgreSQL truncates names at 63, and the longest suffix is 22 and a number."""

PLAIN_UP_TO = 1_900
"""Components. A vector up to this dimension fits into a page and is stored in the row, where a scan
reads it without a TOAST look-up; longer ones are stored out of line.
"""

LONGEST_NAME = 63
"""Maximum length of a name in PostgreSQL, in characters."""

_NAME = re.compile("[a-z_][a-z0-9_]*")


def check_name(name: str, path: str, longest: int = LONGEST_NAME) -> None:
    """Reject a name that would need quotes.

    Raises:
        InvalidRequest: the name has other characters than a-z, 0-9 and _, or is too long.
    """
    if not _NAME.fullmatch(name) or len(name) > longest:
        raise InvalidRequest(
            path,
            f"expected 1 to {longest} characters of a-z, 0-9 and _, not beginning with a digit, "
            f"got {name[:60]!r}",
        )


@frozen
class Tables:
    """Table names of one index, looked up in the connection's search path.

    Args:
        prefix: prefix of all names.
    """

    prefix: str

    @property
    def ledger(self) -> str:
        """One row per ledger: its counts of documents and terms."""
        return f"{self.prefix}_ledger"

    @property
    def model(self) -> str:
        """One row per embedding model that ever stored a vector here."""
        return f"{self.prefix}_model"

    @property
    def document(self) -> str:
        """One row per document: scope, times and vector."""
        return f"{self.prefix}_document"

    @property
    def wording(self) -> str:
        """One row per document: terms and fields for filters."""
        return f"{self.prefix}_wording"

    @property
    def name(self) -> str:
        """One row per name in a document."""
        return f"{self.prefix}_name"

    @property
    def kept(self) -> str:
        """Vectors by digest of their text, kept while an index is rebuilt."""
        return f"{self.prefix}_kept"

    @property
    def all(self) -> tuple[str, ...]:
        """All table names."""
        return (self.document, self.wording, self.name, self.ledger, self.kept, self.model)

    def graph(self, ledger: int) -> str:
        """Name of the HNSW index of one ledger."""
        return f"{self.prefix}_document_hnsw_{ledger}"


@frozen
class Extension:
    """The installed pgvector extension.

    Args:
        schema: quoted; types and operators are always qualified with it.
        version: such as ``(0, 8, 5)``.
    """

    schema: str
    version: tuple[int, ...]

    @property
    def type(self) -> str:
        """Qualified name of the vector type."""
        return f"{self.schema}.vector"

    def operator(self, sign: str) -> str:
        """Qualified operator on vectors."""
        return f"OPERATOR({self.schema}.{sign})"


async def find_extension(connection: Reader) -> Extension | None:
    """Return pgvector if it is installed in the database."""
    cursor = await connection.execute(
        "SELECT quote_ident(nspname), extversion FROM pg_extension "
        "JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
    )
    rows = await cursor.fetchall()
    if not rows:
        return None
    schema, version = rows[0]
    return Extension(schema, tuple(int(part) for part in re.findall(r"\d+", version)))


async def install_extension(connection: Connection) -> Extension | None:
    """Return pgvector; install it if the server has it and the user has the privilege."""
    found = await find_extension(connection)
    if found is not None:
        return found
    cursor = await connection.execute(
        "SELECT FROM pg_available_extensions WHERE name = 'vector' "
        "AND has_database_privilege(current_database(), 'CREATE')"
    )
    if not await cursor.fetchall():
        return None
    # In public, since DROP SCHEMA of one index would drop the extension with the vectors of all
    # others. The privilege may still be missing: an untrusted extension needs a superuser. And "IF
    # NOT EXISTS" does not see an installation that another process has not committed.
    cursor = await connection.execute("SELECT to_regnamespace('public') IS NOT NULL")
    where = "SCHEMA public" if await cursor.fetchall() == [(True,)] else ""
    await connection.execute(
        f"DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS vector {where}; "
        "EXCEPTION WHEN insufficient_privilege OR unique_violation THEN NULL; END $$"
    )
    return await find_extension(connection)


async def stored_as(connection: Reader, tables: Tables) -> str | None:
    """Current type of the column ``vector``; ``None`` if there is no such table."""
    cursor = await connection.execute(
        "SELECT typname FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid "
        f"WHERE attrelid = {OWN.format('%s')} AND attname = 'vector' AND NOT attisdropped",
        (tables.document,),
    )
    rows = await cursor.fetchall()
    return rows[0][0] if rows else None


async def create(
    connection: Connection, tables: Tables, extension: Extension | None, dimension: int, home: str
) -> None:
    """Create missing tables, and the function that filters call.

    Args:
        connection: in a writing transaction.
        tables: names of the tables.
        extension: pgvector; ``None`` if there is none.
        dimension: components per vector.
        home: the schema, quoted.
    """
    t = tables
    if await are_there(connection, t.all):
        # CREATE INDEX IF NOT EXISTS would wait for a graph that is being built.
        return
    vector = "bytea" if extension is None else extension.type
    # bytea is compressed by default, which gains nothing on floats.
    storage = "PLAIN" if dimension <= PLAIN_UP_TO else "EXTERNAL"
    statements = [
        f"CREATE TABLE IF NOT EXISTS {t.ledger} ("
        "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        'name text COLLATE "C" NOT NULL UNIQUE, '
        "documents bigint NOT NULL DEFAULT 0, "
        "text_length bigint NOT NULL DEFAULT 0, "
        "context_length bigint NOT NULL DEFAULT 0, "
        "graph smallint)",
        f"CREATE TABLE IF NOT EXISTS {t.model} ("
        "id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        'name text COLLATE "C" NOT NULL, dimension int NOT NULL, UNIQUE (name, dimension))',
        f"CREATE TABLE IF NOT EXISTS {t.document} ("
        "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "ledger int NOT NULL, version int NOT NULL, "
        "visible_from bigint, visible_to bigint, valid_from bigint, valid_to bigint, "
        "occurred_at bigint NOT NULL, length double precision, "
        "exponent smallint, model smallint, "
        'fact_id text COLLATE "C" NOT NULL, '
        "agent_id text, run_id text, app_id text, "
        f'speaker text COLLATE "C", digest bytea, vector {vector}, '
        # Free space per page, so that an ended version is updated in place (HOT).
        "UNIQUE (fact_id, version)) WITH (fillfactor = 85)",
        # Only for a new table: ALTER TABLE blocks readers until the transaction ends.
        *(
            [f"ALTER TABLE {t.document} ALTER COLUMN vector SET STORAGE {storage}"]
            if await stored_as(connection, t) is None
            else []
        ),
        f"CREATE INDEX IF NOT EXISTS {t.document}_ledger ON {t.document} (ledger, speaker)",
        f"CREATE INDEX IF NOT EXISTS {t.document}_digest ON {t.document} (digest) "
        "WHERE vector IS NOT NULL",
        f"CREATE INDEX IF NOT EXISTS {t.document}_waiting ON {t.document} (id) "
        "WHERE vector IS NULL",
        f"CREATE TABLE IF NOT EXISTS {t.wording} ("
        "id bigint PRIMARY KEY, ledger int NOT NULL, version int NOT NULL, "
        "visible_from bigint, visible_to bigint, valid_from bigint, valid_to bigint, "
        "text_length int NOT NULL, context_length int NOT NULL, "
        'fact_id text COLLATE "C" NOT NULL, agent_id text, run_id text, app_id text, '
        "text_terms tsvector NOT NULL, context_terms tsvector NOT NULL, "
        "names bigint[] NOT NULL, text text NOT NULL, "
        "attributes jsonb NOT NULL, metadata jsonb NOT NULL) WITH (fillfactor = 85)",
        f"CREATE INDEX IF NOT EXISTS {t.wording}_ledger ON {t.wording} (ledger)",
        f"CREATE INDEX IF NOT EXISTS {t.wording}_terms ON {t.wording} "
        "USING gin (text_terms, context_terms)",
        f"CREATE TABLE IF NOT EXISTS {t.name} ("
        "ledger int, name bigint, document bigint, PRIMARY KEY (ledger, name, document))",
        f"CREATE TABLE IF NOT EXISTS {t.kept} (digest bytea, model smallint, "
        f"exponent smallint NOT NULL, vector {vector} NOT NULL, PRIMARY KEY (digest, model))",
    ]
    # Several processes may start on an empty database; "IF NOT EXISTS" alone has a race.
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (advisory_key(t.prefix, "index"),))
    cursor = await connection.execute(
        "SELECT to_regprocedure(%s) IS NULL", (f"{home}.remembrancer_casefold(text)",)
    )
    if (await cursor.fetchall())[0][0]:
        statements += create_casefold(home, 0)
    for statement in statements:
        await connection.execute(statement)


async def drop(connection: Connection, tables: Tables) -> None:
    """Drop all tables of an index."""
    await connection.execute(f"DROP TABLE IF EXISTS {', '.join(tables.all)}")


async def empty(connection: Connection, tables: Tables) -> None:
    """Delete the documents, but keep their vectors for texts that are put again.

    Uses DELETE: readers see the rows until the commit, whereas TRUNCATE would block them.
    """
    t = tables
    await connection.execute(
        f"INSERT INTO {t.kept} SELECT DISTINCT ON (digest, model) digest, model, exponent, vector "
        f"FROM {t.document} WHERE vector IS NOT NULL ORDER BY digest, model, id DESC "
        "ON CONFLICT DO NOTHING"
    )
    for table in (t.document, t.wording, t.name):
        await connection.execute(f"DELETE FROM {table}")
    await connection.execute(
        f"UPDATE {t.ledger} SET documents = 0, text_length = 0, context_length = 0"
    )
