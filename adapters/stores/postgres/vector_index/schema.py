"""The tables of an index in PostgreSQL: what is stored, and where.

``document`` holds the vectors, ``wording`` the terms and what filters see. Both know whose the
document is and its times, so that neither signal has to look into the other's table: one is read
at the speed of its vectors, the other at that of its terms. The column ``vector`` is of the type
``vector`` where the extension pgvector can be had, and ``bytea`` (floats, little endian) where it
can't. This module does not know how the rows are written or searched.
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
"""Goes up with every change of the tables or of what is stored in them."""

LONGEST_PREFIX = 30
"""Characters; PostgreSQL cuts names at 63, and the longest name made of it adds 22 and a number."""

PLAIN_UP_TO = 1_900
"""Components. A vector of up to so many fits into a page and stays in the row, where a scan finds
it without a look-up for each; what is longer is stored apart.
"""

LONGEST_NAME = 63
"""Characters that PostgreSQL keeps of a name."""

_NAME = re.compile("[a-z_][a-z0-9_]*")


def check_name(name: str, path: str, longest: int = LONGEST_NAME) -> None:
    """Refuse a name that would need quotes somewhere.

    Raises:
        InvalidRequest: it has other characters than a-z, 0-9 and _, or too many.
    """
    if not _NAME.fullmatch(name) or len(name) > longest:
        raise InvalidRequest(
            path,
            f"expected 1 to {longest} of a-z, 0-9 and _, not beginning with a digit, "
            f"got {name[:60]!r}",
        )


@frozen
class Tables:
    """The names of the tables of one index, found through the connection's search path.

    Args:
        prefix: what all of them begin with.
    """

    prefix: str

    @property
    def ledger(self) -> str:
        """One row per ledger: how many documents and terms it has."""
        return f"{self.prefix}_ledger"

    @property
    def model(self) -> str:
        """One row per embedder that ever stored a vector here."""
        return f"{self.prefix}_model"

    @property
    def document(self) -> str:
        """One row per document: whose, when, and its vector."""
        return f"{self.prefix}_document"

    @property
    def wording(self) -> str:
        """One row per document: its terms, and what filters see."""
        return f"{self.prefix}_wording"

    @property
    def name(self) -> str:
        """One row for each name in each document."""
        return f"{self.prefix}_name"

    @property
    def kept(self) -> str:
        """Vectors by what was embedded, while an index is cleared and filled again."""
        return f"{self.prefix}_kept"

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return (self.document, self.wording, self.name, self.ledger, self.kept, self.model)

    def graph(self, ledger: int) -> str:
        """The HNSW index of one very large ledger."""
        return f"{self.prefix}_document_hnsw_{ledger}"


@frozen
class Extension:
    """Where pgvector is installed.

    Args:
        schema: quoted; types and operators are always named with it, whatever the search path.
        version: such as ``(0, 8, 5)``.
    """

    schema: str
    version: tuple[int, ...]

    @property
    def type(self) -> str:
        """The type of vectors."""
        return f"{self.schema}.vector"

    def operator(self, sign: str) -> str:
        """An operator on vectors."""
        return f"OPERATOR({self.schema}.{sign})"


async def find_extension(connection: Reader) -> Extension | None:
    """pgvector, if it is installed in the database."""
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
    """pgvector, installed if the server carries it and the user may do that."""
    found = await find_extension(connection)
    if found is not None:
        return found
    cursor = await connection.execute(
        "SELECT FROM pg_available_extensions WHERE name = 'vector' "
        "AND has_database_privilege(current_database(), 'CREATE')"
    )
    if not await cursor.fetchall():
        return None
    # In a schema of ours it would go with that schema, and with it the vectors of all others. It
    # may be there and not be for everybody: an untrusted extension takes a superuser. And "IF NOT
    # EXISTS" does not see what another process is installing.
    cursor = await connection.execute("SELECT to_regnamespace('public') IS NOT NULL")
    where = "SCHEMA public" if await cursor.fetchall() == [(True,)] else ""
    await connection.execute(
        f"DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS vector {where}; "
        "EXCEPTION WHEN insufficient_privilege OR unique_violation THEN NULL; END $$"
    )
    return await find_extension(connection)


async def stored_as(connection: Reader, tables: Tables) -> str | None:
    """The type of the column of vectors as it is now; ``None`` if there is no such table."""
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
    """Make the tables, where they are missing, and the function that filters call.

    Args:
        connection: in a writing transaction.
        tables: their names.
        extension: pgvector; ``None`` where there is none.
        dimension: components per vector.
        home: the schema, quoted.
    """
    t = tables
    if await are_there(connection, t.all):
        # An index that is there already would still be waited for while a graph is being made.
        return
    vector = "bytea" if extension is None else extension.type
    # A bytea is compressed by default, which gains nothing on floats.
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
        # Room in each page, so that a version that ends is written beside itself.
        "UNIQUE (fact_id, version)) WITH (fillfactor = 85)",
        # Only for a new table: it keeps readers out until the transaction ends.
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
    # Several processes may start on an empty database at once; "IF NOT EXISTS" alone races.
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
    """Delete the documents, and keep their vectors for whoever puts the same texts again.

    Rows are deleted one by one: whoever reads meanwhile sees them until the transaction is
    committed, which TRUNCATE would have them wait for.
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
