"""Upsert and deletion of documents and their counts, in the caller's transaction.

Writers of one ledger wait for its row lock, writers of different ledgers don't. Unchanged rows are
not written again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import define, frozen

from remembrancer.adapters.index_scoring.argument_checks import checked_vectors
from remembrancer.adapters.stores.postgres.filters import searchable
from remembrancer.adapters.stores.postgres.nul import storable
from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.adapters.stores.postgres.vector_index.schema import Extension, Tables
from remembrancer.adapters.stores.postgres.vector_index.terms import WrittenTerms, number_of
from remembrancer.adapters.stores.postgres.vector_index.vectors import (
    Components,
    Scaled,
    digest_of,
    to_hex,
    to_text,
)
from remembrancer.domain.epoch_micros import optional_microseconds, to_microseconds
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.text import name_keys

BATCH = 500
"""Documents per statement."""

_DOCUMENT = (
    "ledger int, fact_id text, version int, agent_id text, run_id text, app_id text, "
    "visible_from bigint, visible_to bigint, valid_from bigint, valid_to bigint"
)
_VECTOR = (
    "occurred_at bigint, speaker text, model smallint, digest text, exponent smallint, "
    "length double precision, vector text"
)
_WORDING = (
    "text text, text_length int, context_length int, text_terms text, context_terms text, "
    "names bigint[], attributes jsonb, metadata text"
)


@frozen
class Storage:
    """Where and how vectors are stored.

    Args:
        tables: tables of the index.
        extension: pgvector; ``None`` if there is none.
        model: embedding model, as ``Embedder.model``.
        dimension: components per vector.
    """

    tables: Tables
    extension: Extension | None
    model: str
    dimension: int


@define
class _Change:
    """Increments of a ledger's counts."""

    documents: int = 0
    text_length: int = 0
    context_length: int = 0

    def add(self, sign: int, text_length: int, context_length: int) -> None:
        self.documents += sign
        self.text_length += sign * text_length
        self.context_length += sign * context_length


async def put(
    connection: Connection, storage: Storage, documents: Sequence[Document], terms: WrittenTerms
) -> None:
    """See ``VectorIndex.put``; the last document of a key wins.

    Raises:
        InvalidRequest: a vector has another dimension or is not finite; nothing was written.
    """
    vectors = checked_vectors(documents, storage.dimension)
    pairs = {
        document.key: (document, vector)
        for document, vector in zip(documents, vectors, strict=True)
    }
    if not pairs:
        return
    ledgers = await _open_ledgers(connection, storage.tables, [d for d, _ in pairs.values()])
    model = await _open_model(connection, storage)
    rows = [
        row_of(document, ledgers[document.scope.ledger], terms)
        | ({} if vector is None else vector_of(storage, vector, model))
        for document, vector in pairs.values()
    ]
    for at in range(0, len(rows), BATCH):
        await _write(connection, storage, rows[at : at + BATCH])


async def remove(connection: Connection, t: Tables, keys: Iterable[FactKey]) -> None:
    """See ``VectorIndex.remove``."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return
    columns = ([key[0] for key in wanted], [key[1] for key in wanted])
    await connection.execute(
        f"SELECT FROM {t.ledger} WHERE id IN (SELECT ledger FROM {t.document} "
        "WHERE (fact_id, version) IN (SELECT * FROM unnest(%s::text[], %s::int[]))) "
        "ORDER BY name FOR UPDATE",
        columns,
    )
    cursor = await connection.execute(
        f"DELETE FROM {t.document} WHERE (fact_id, version) IN "
        "(SELECT * FROM unnest(%s::text[], %s::int[])) RETURNING id",
        columns,
    )
    numbers = [row[0] for row in await cursor.fetchall()]
    if not numbers:
        return
    cursor = await connection.execute(
        f"DELETE FROM {t.wording} WHERE id = ANY (%s) "
        "RETURNING ledger, text_length, context_length, names",
        (numbers,),
    )
    changes: dict[int, _Change] = {}
    for ledger, text_length, context_length, names in await cursor.fetchall():
        changes.setdefault(ledger, _Change()).add(-1, text_length, context_length)
        if names:
            await connection.execute(
                f"DELETE FROM {t.name} WHERE ledger = %s AND name = ANY (%s) "
                "AND document = ANY (%s)",
                (ledger, names, numbers),
            )
    await _count(connection, t, changes)


async def _open_ledgers(
    connection: Connection, tables: Tables, documents: Iterable[Document]
) -> Mapping[str, int]:
    """Ids of ledgers by name; inserts new ones and locks all until the transaction ends."""
    # Always in the same order, to prevent deadlocks.
    names = sorted({document.scope.ledger for document in documents})
    find = f"SELECT name, id FROM {tables.ledger} WHERE name = ANY (%s) ORDER BY name FOR UPDATE"
    found: dict[str, int] = dict(await (await connection.execute(find, (names,))).fetchall())
    missing = [name for name in names if name not in found]
    if missing:
        await connection.execute(
            f"INSERT INTO {tables.ledger} (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            (missing,),
        )
        found |= dict(await (await connection.execute(find, (missing,))).fetchall())
    return found


async def _open_model(connection: Connection, storage: Storage) -> int:
    """Id of the embedding model; inserted if it is new."""
    asked = (storage.model, storage.dimension)
    find = f"SELECT id FROM {storage.tables.model} WHERE name = %s AND dimension = %s"
    rows = await (await connection.execute(find, asked)).fetchall()
    if not rows:
        await connection.execute(
            f"INSERT INTO {storage.tables.model} (name, dimension) VALUES (%s, %s) "
            "ON CONFLICT DO NOTHING",
            asked,
        )
        rows = await (await connection.execute(find, asked)).fetchall()
    number: int = rows[0][0]
    return number


def row_of(document: Document, ledger: int, terms: WrittenTerms) -> dict[str, Any]:
    """The values of a document without its vector, by column."""
    text_length, text_terms = terms(document.text)
    context_length, context_terms = terms(document.context)
    attributes = dict(document.attributes)
    metadata = attributes.pop("metadata", {})
    scope = document.scope
    return {
        "ledger": ledger,
        "fact_id": document.key[0],
        "version": document.key[1],
        "agent_id": scope.agent_id,
        "run_id": scope.run_id,
        "app_id": scope.app_id,
        "visible_from": optional_microseconds(document.visible.start),
        "visible_to": optional_microseconds(document.visible.end),
        "valid_from": optional_microseconds(document.valid.start),
        "valid_to": optional_microseconds(document.valid.end),
        "occurred_at": to_microseconds(document.occurred_at),
        "speaker": None if document.speaker is None else storable(document.speaker),
        "text": storable(document.text),
        "digest": digest_of(document.text).hex(),
        "text_length": text_length,
        "context_length": context_length,
        "text_terms": text_terms,
        "context_terms": context_terms,
        "names": sorted({number_of(name) for name in name_keys(document.entities)}),
        "attributes": {name: _attribute(value) for name, value in attributes.items()},
        "metadata": searchable(metadata),
    }


def _attribute(value: object) -> object:
    """Encode a built-in field for filters. NUL, which jsonb can't store, is replaced."""
    if isinstance(value, datetime):
        return to_microseconds(value)
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    return [_attribute(each) for each in value] if isinstance(value, list | tuple) else value


def vector_of(storage: Storage, vector: Components, model: int) -> dict[str, Any]:
    """The values of a vector, by column."""
    scaled = Scaled.of(vector)
    written = to_text if storage.extension is not None else to_hex
    return {
        "model": model,
        "exponent": scaled.exponent,
        "length": scaled.length,
        "vector": written(scaled.components),
    }


async def _write(connection: Connection, storage: Storage, rows: Sequence[dict[str, Any]]) -> None:
    t = storage.tables
    sent = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    changes: dict[int, _Change] = {}
    for row in rows:
        changes.setdefault(row["ledger"], _Change()).add(
            1, row["text_length"], row["context_length"]
        )
    keys = ([row["fact_id"] for row in rows], [row["version"] for row in rows])
    cursor = await connection.execute(
        f"SELECT ledger, text_length, context_length FROM {t.wording} WHERE id IN ("
        f"SELECT id FROM {t.document} WHERE (fact_id, version) IN "
        "(SELECT * FROM unnest(%s::text[], %s::int[])))",
        keys,
    )
    for ledger, text_length, context_length in await cursor.fetchall():
        changes.setdefault(ledger, _Change()).add(-1, text_length, context_length)
    await connection.execute(_upsert_documents(t, storage.extension), (sent,))
    await connection.execute(_upsert_wordings(t), (sent,))
    await _write_names(connection, t, rows, keys)
    await _count(connection, t, changes)


_SHARED = (
    "ledger, fact_id, version, agent_id, run_id, app_id, "
    "visible_from, visible_to, valid_from, valid_to"
)


def _upsert_documents(t: Tables, extension: Extension | None) -> str:
    plain = f"{_SHARED}, occurred_at, speaker, model, digest, exponent, length"
    columns = f"{plain}, vector"
    if extension is None:
        vector, equals = "decode(r.vector, 'hex')", "="
    else:
        vector, equals = f"r.vector::{extension.type}", extension.operator("=")
    return (
        f"INSERT INTO {t.document} AS d ({columns}) SELECT {_SHARED}, occurred_at, speaker, model, "
        f"decode(digest, 'hex'), exponent, length, {vector} "
        f"FROM json_to_recordset(%s::json) AS r ({_DOCUMENT}, {_VECTOR}) "
        f"ON CONFLICT (fact_id, version) DO UPDATE SET {_assignments(columns)} "
        # IS DISTINCT FROM would look up the operator of pgvector's type in the search path.
        f"WHERE {_differ(plain)} OR NOT coalesce(d.vector {equals} excluded.vector, "
        "d.vector IS NULL AND excluded.vector IS NULL)"
    )


def _upsert_wordings(t: Tables) -> str:
    rest = "text, text_length, context_length, names, attributes"
    columns = f"id, {_SHARED}, {rest}, metadata, text_terms, context_terms"
    return (
        f"INSERT INTO {t.wording} AS d ({columns}) SELECT document.id, "
        f"{', '.join(f'r.{name}' for name in f'{_SHARED}, {rest}'.split(', '))}, "
        "r.metadata::jsonb, r.text_terms::tsvector, r.context_terms::tsvector "
        f"FROM json_to_recordset(%s::json) AS r ({_DOCUMENT}, {_WORDING}) "
        f"JOIN {t.document} AS document USING (fact_id, version) "
        f"ON CONFLICT (id) DO UPDATE SET {_assignments(columns)} WHERE {_differ(columns)}"
    )


def differing_documents(storage: Storage) -> str:
    """A query for the keys of documents that differ from rows that are sent, with the names of the
    columns that differ. Rows without ``length`` say nothing about the vector that they have.
    """
    extension = storage.extension
    if extension is None:
        equal = "d.vector = decode(r.vector, 'hex')"
    else:
        equal = f"d.vector {extension.operator('=')} r.vector::{extension.type}"
    columns = f"{_SHARED}, occurred_at, speaker, model"
    told = "r.length IS NOT NULL OR NOT held"
    return _differing(
        f"LEFT JOIN {storage.tables.document} AS d USING (fact_id, version)",
        f"{_DOCUMENT}, {_VECTOR}, held boolean",
        [
            *(_unlike(name) for name in columns.split(", ")),
            _named("d.digest IS DISTINCT FROM decode(r.digest, 'hex')", "digest"),
            *(
                _named(f"({told}) AND d.{name} IS DISTINCT FROM r.{name}", name)
                for name in ("exponent", "length")
            ),
            _named(f"r.length IS NOT NULL AND NOT coalesce({equal}, false)", "vector"),
        ],
    )


def differing_wordings(t: Tables) -> str:
    """As ``differing_documents``, of the rows with terms."""
    plain = f"{_SHARED}, text, text_length, context_length, names, attributes"
    cast = (("metadata", "jsonb"), ("text_terms", "tsvector"), ("context_terms", "tsvector"))
    return _differing(
        f"LEFT JOIN {t.document} AS document USING (fact_id, version) "
        f"LEFT JOIN {t.wording} AS d ON d.id = document.id",
        f"{_DOCUMENT}, {_WORDING}",
        [
            *(_unlike(name) for name in plain.split(", ")),
            *(_named(f"d.{n} IS DISTINCT FROM r.{n}::{kind}", n) for n, kind in cast),
        ],
    )


def _differing(joined: str, record: str, columns: Sequence[str]) -> str:
    numbered = [f"{column} AS wrong_{number}" for number, column in enumerate(columns)]
    wrong = ", ".join(f"wrong_{number}" for number in range(len(columns)))
    return (
        f"SELECT * FROM (SELECT r.fact_id, r.version, {', '.join(numbered)} "
        f"FROM json_to_recordset(%s::json) AS r ({record}) {joined}) AS compared "
        f"WHERE num_nonnulls({wrong}) > 0"
    )


def _named(condition: str, name: str) -> str:
    return f"CASE WHEN {condition} THEN '{name}' END"


def _unlike(name: str) -> str:
    return _named(f"d.{name} IS DISTINCT FROM r.{name}", name)


def _assignments(columns: str) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns.split(", "))


def _differ(columns: str) -> str:
    names = columns.split(", ")
    mine, theirs = (", ".join(f"{who}.{name}" for name in names) for who in ("d", "excluded"))
    return f"({mine}) IS DISTINCT FROM ({theirs})"


async def _write_names(
    connection: Connection,
    t: Tables,
    rows: Sequence[dict[str, Any]],
    keys: tuple[list[str], list[int]],
) -> None:
    cursor = await connection.execute(
        f"SELECT id, fact_id, version FROM {t.document} WHERE (fact_id, version) IN "
        "(SELECT * FROM unnest(%s::text[], %s::int[]))",
        keys,
    )
    numbers = {(fact_id, version): number for number, fact_id, version in await cursor.fetchall()}
    names = [
        (row["ledger"], name, numbers[row["fact_id"], row["version"]])
        for row in rows
        for name in row["names"]
    ]
    columns = [list(column) for column in zip(*names, strict=True)] or [[], [], []]
    await connection.execute(
        f"DELETE FROM {t.name} WHERE document = ANY (%s) AND (ledger, name, document) NOT IN "
        "(SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[]))",
        (list(numbers.values()), *columns),
    )
    if names:
        await connection.execute(
            f"INSERT INTO {t.name} SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) "
            "ON CONFLICT DO NOTHING",
            columns,
        )


async def _count(connection: Connection, t: Tables, changes: Mapping[int, _Change]) -> None:
    for ledger, change in sorted(changes.items()):
        await connection.execute(
            f"UPDATE {t.ledger} SET documents = documents + %s, "
            "text_length = text_length + %s, context_length = context_length + %s WHERE id = %s",
            (change.documents, change.text_length, change.context_length, ledger),
        )
