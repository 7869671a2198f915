"""A file with rows in every table, and edits of it as an attacker, a bug or a bad disk makes them.

Each edit is told with the fault that must be named: kind, table and column.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import frozen

from remembrancer import Memory
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog
from remembrancer.adapters.stores.sqlite.database import SqliteSettings
from remembrancer.adapters.stores.sqlite.store import build
from remembrancer.adapters.stores.sqlite.vector_index.sizes import Sizes
from remembrancer.domain.events import EventId, InferenceRecorded, RelationAsserted, RelationEnded
from remembrancer.domain.recorded import Append, CorrelationId, NewEvent
from remembrancer.domain.scope import LedgerId, Scope
from tests.helpers.stores import offline_needs

OWNERS = ("ann", "bob", "cleo")

Change = Callable[[sqlite3.Connection], object]


def make(path: Path) -> None:
    """A closed file with three owners: keyed requests, revised, superseded and deleted facts,
    relations, model calls and segments of the index.
    """
    with Memory(path) as memory:
        for owner in OWNERS:
            memory.add(
                "I live in Paris. I like green tea. My sister Eve works at Acme.",
                user_id=owner,
                idempotency_key="k1",
            )
            memory.add("I moved to Berlin!", user_id=owner)
            memory.add(
                {"content": "My sister is Eve. Eve works at Acme.", "name": owner.title()},
                user_id=owner,
            )
            memory.add(
                [
                    {"role": "user", "name": "Ann", "content": f"Secret number {each} of {owner}."}
                    for each in range(5)
                ],
                user_id=owner,
                run_id="r1",
                infer=False,
                idempotency_key="k2",
                metadata={"n": 1},
            )
        fact = memory.get_all(user_id="ann").facts[0]
        memory.update(fact.fact_id, "a corrected text", user_id="ann")
        memory.delete(memory.get_all(user_id="bob").facts[0].fact_id, user_id="bob")
    _append_more(path)


def make_small(path: Path) -> None:
    """A closed file with rows in most tables, as small as it can be: it is read hundreds of
    times.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA page_size = 1024")
        connection.execute("VACUUM")
    with Memory(path) as memory:
        memory.add(
            {"content": "I live in Paris. My sister is Eve.", "name": "Ann"},
            user_id="ann",
            idempotency_key="k1",
        )
        memory.add("I moved to Berlin!", user_id="ann")
    _append_more(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")


def _append_more(path: Path) -> None:
    store = build(SqliteSettings(path=str(path)), offline_needs())
    log: SqliteAuditLog = store.audit_log
    calls = (
        InferenceRecorded(
            purpose="extraction",
            model="gpt",
            prompt_digest="p",
            output="{}",
            input_tokens=5,
            output_tokens=7,
            cost=cost,
            latency=0.1,
        )
        for cost in (0.25, None)
    )
    relation = RelationAsserted(
        relation_id=os.urandom(16).hex(),
        scope=Scope(user_id="ann"),
        subject="Eve",
        predicate="works_at",
        object="Acme",
    )
    ended = RelationEnded(relation_id=relation.relation_id, ended_at=datetime.now(UTC))
    for event in (*calls, relation, ended):
        log.append(
            Append(
                ledger=LedgerId("user:ann"),
                events=[NewEvent(event_id=EventId(os.urandom(16).hex()), event=event)],
                recorded_at=datetime.now(UTC),
                correlation_id=CorrelationId(os.urandom(16).hex()),
            )
        )
    # Without segments, their tables would be empty.
    store.vector_index._sizes = Sizes(first=8, tail=8)
    store.vector_index.compact()
    store.close()


def edited(path: Path, change: Change) -> None:
    """Change a file, past remembrancer."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        change(connection)
        connection.commit()


@frozen
class Edit:
    """An edit, and the fault that must be named.

    ``refused``: the file must not even be opened. ``anchor``: the file is again one that
    remembrancer could have written, so that only something kept outside of it can tell.
    """

    name: str
    change: Change
    kind: str = ""
    table: str | None = None
    column: str | None = None
    refused: bool = False
    anchor: bool = False


def sql(*statements: str) -> Change:
    """An edit by SQL statements."""

    def change(connection: sqlite3.Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    return change


def header(row: sqlite3.Row, handle: bytes) -> bytes:
    cause = row["causation_id"].hex() if row["causation_id"] else ""
    return (
        f"1\n{handle.hex()}\n{row['version']}\n{row['event_id'].hex()}\n{row['recorded_at']}\n"
        f"{row['correlation_id'].hex()}\n{cause}\n{row['actor']}\n{row['type']}\n"
        f"{row['schema_version']}"
    ).encode()


def rechain(connection: sqlite3.Connection, ledger: int) -> None:
    """Compute all hashes of a ledger again, as somebody with the source code can."""
    (handle,) = connection.execute("SELECT handle FROM ledger WHERE id = ?", (ledger,)).fetchone()
    previous, last = bytes(32), None
    for row in connection.execute(
        "SELECT * FROM event WHERE ledger_id = ? ORDER BY version", (ledger,)
    ).fetchall():
        digest = sha256(row["salt"] + row["payload"]).digest()
        hashed = sha256(previous + digest + header(row, handle)).digest()
        connection.execute(
            "UPDATE event SET payload_digest = ?, previous_hash = ?, hash = ? WHERE position = ?",
            (digest, previous, hashed, row["position"]),
        )
        previous, last = hashed, row
    assert last is not None
    connection.execute(
        "UPDATE ledger SET version = ?, hash = ?, recorded_at = ? WHERE id = ?",
        (last["version"], previous, last["recorded_at"], ledger),
    )


def change_payload(connection: sqlite3.Connection) -> None:
    position, payload = connection.execute(
        "SELECT position, payload FROM event WHERE type = 'fact.added' AND ledger_id = 1 "
        "AND instr(payload, 'Paris') ORDER BY position LIMIT 1"
    ).fetchone()
    connection.execute(
        "UPDATE event SET payload = ? WHERE position = ?",
        (bytes(payload).replace(b"Paris", b"Perth"), position),
    )


def forge(connection: sqlite3.Connection) -> None:
    change_payload(connection)
    rechain(connection, 1)


def forge_and_rebuild(connection: sqlite3.Connection) -> None:
    """The next opening of an empty checkpoint table builds the read models from the forgery."""
    forge(connection)
    _forget_read_models(connection)


def _forget_read_models(connection: sqlite3.Connection) -> None:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    log = ("ledger", "event", "request", "projection", "feed", "dead_letter", "worker")
    for (name,) in names:
        if name not in log:
            connection.execute(f"DROP TABLE {name}")
    connection.execute("DELETE FROM projection")


def cut_tail(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM event WHERE position = (SELECT max(position) FROM event)")


def cut_tail_and_head(connection: sqlite3.Connection) -> None:
    (ledger,) = connection.execute(
        "SELECT ledger_id FROM event ORDER BY position DESC LIMIT 1"
    ).fetchone()
    cut_tail(connection)
    connection.execute(
        "UPDATE ledger SET (version, hash, recorded_at) = (SELECT version, hash, recorded_at "
        "FROM event WHERE ledger_id = ledger.id ORDER BY version DESC LIMIT 1) WHERE id = ?",
        (ledger,),
    )


def cut_tail_head_and_sequence(connection: sqlite3.Connection) -> None:
    cut_tail_and_head(connection)
    connection.execute(
        "UPDATE sqlite_sequence SET seq = (SELECT max(position) FROM event) WHERE name = 'event'"
    )
    connection.execute("UPDATE projection SET position = (SELECT max(position) FROM event)")


def cut_tail_everywhere(connection: sqlite3.Connection) -> None:
    cut_tail_head_and_sequence(connection)
    _forget_read_models(connection)


def append_forged(connection: sqlite3.Connection) -> None:
    """Somebody who can write to the file can append whatever he likes."""
    last = connection.execute(
        "SELECT * FROM event WHERE ledger_id = 1 AND type = 'fact.added' ORDER BY version DESC"
    ).fetchone()
    handle, version, head = connection.execute(
        "SELECT handle, version, hash FROM ledger WHERE id = 1"
    ).fetchone()
    row: dict[str, Any] = dict(last)
    fact = json.loads(row["payload"])
    fact |= {"fact_id": os.urandom(16).hex(), "text": "Ann owes Mallory 1000"}
    (time,) = connection.execute("SELECT recorded_at + 1 FROM ledger WHERE id = 1").fetchone()
    (position,) = connection.execute("SELECT max(position) + 1 FROM event").fetchone()
    row |= {
        "position": position,
        "version": version + 1,
        "event_id": os.urandom(16),
        "correlation_id": os.urandom(16),
        "recorded_at": time,
        "payload": json.dumps(fact).encode(),
        "salt": os.urandom(16),
        "previous_hash": head,
    }
    row["payload_digest"] = sha256(row["salt"] + row["payload"]).digest()
    head_row: Any = row
    row["hash"] = sha256(head + row["payload_digest"] + header(head_row, handle)).digest()
    connection.execute(
        f"INSERT INTO event ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        tuple(row.values()),
    )
    connection.execute(
        "UPDATE ledger SET version = ?, hash = ?, recorded_at = ? WHERE id = 1",
        (version + 1, row["hash"], time),
    )


def swap_payloads(connection: sqlite3.Connection) -> None:
    one, other = connection.execute(
        "SELECT position, payload, salt FROM event WHERE type = 'fact.added' LIMIT 2"
    ).fetchall()
    for place, source in ((one, other), (other, one)):
        connection.execute(
            "UPDATE event SET payload = ?, salt = ? WHERE position = ?",
            (source["payload"], source["salt"], place["position"]),
        )


def swap_positions(connection: sqlite3.Connection) -> None:
    (one,) = connection.execute("SELECT max(position) FROM event WHERE ledger_id = 2").fetchone()
    (other,) = connection.execute("SELECT min(position) FROM event WHERE ledger_id = 3").fetchone()
    for new, old in ((-1, one), (one, other), (other, -1)):
        connection.execute("UPDATE event SET position = ? WHERE position = ?", (new, old))


def swap_facts_of_tenants(connection: sqlite3.Connection) -> None:
    ann, bob = (
        connection.execute(
            "SELECT id, ledger_id, user_id FROM fact WHERE instr(body, ?)", (f"4 of {owner}.",)
        ).fetchone()
        for owner in ("ann", "bob")
    )
    for row, other in ((ann, bob), (bob, ann)):
        connection.execute(
            "UPDATE fact SET ledger_id = ?, user_id = ? WHERE id = ?",
            (other["ledger_id"], other["user_id"], row["id"]),
        )


def swap_documents(connection: sqlite3.Connection) -> None:
    one, other = connection.execute(
        "SELECT id, fact_id, version FROM index_document ORDER BY id LIMIT 2"
    ).fetchall()
    connection.execute("UPDATE index_document SET fact_id = 'x' WHERE id = ?", (one["id"],))
    for row, source in ((other, one), (one, other)):
        connection.execute(
            "UPDATE index_document SET fact_id = ?, version = ? WHERE id = ?",
            (source["fact_id"], source["version"], row["id"]),
        )


def delete_ledger(connection: sqlite3.Connection) -> None:
    for table, column in (
        *((each, "ledger_id") for each in ("event", "fact", "message", "request", "pipeline")),
        *((each, "ledger") for each in ("graph_fact", "graph_relation", "graph_name")),
    ):
        connection.execute(f"DELETE FROM {table} WHERE {column} = 3")
    connection.execute("DELETE FROM ledger WHERE id = 3")


def forge_fact_row(connection: sqlite3.Connection) -> None:
    row = dict(connection.execute("SELECT * FROM fact WHERE id = 2").fetchone())
    new = "f" * 32
    row |= {"id": None, "version": 1, "body": row["body"].replace(row["fact_id"], new)}
    row["fact_id"] = new
    connection.execute(
        f"INSERT INTO fact ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        tuple(row.values()),
    )
    connection.execute("UPDATE projection SET rows = rows + 1 WHERE name = 'facts'")


FIRST_DOCUMENT = "WHERE id = (SELECT min(id) FROM index_document)"
AT_4 = "WHERE position = 4"

ZOO = (
    # The log
    Edit("payload", change_payload, "payload-changed", "event", "payload"),
    Edit("salt", sql(f"UPDATE event SET salt = randomblob(16) {AT_4}"),
         "payload-changed", "event", "payload"),
    Edit("digest of a payload", sql(f"UPDATE event SET payload_digest = zeroblob(32) {AT_4}"),
         "payload-changed", "event", "payload"),
    Edit("actor", sql(f"UPDATE event SET actor = 'mallory' {AT_4}"),
         "envelope-changed", "event", "hash"),
    Edit("time", sql(f"UPDATE event SET recorded_at = recorded_at + 1 {AT_4}"),
         "envelope-changed", "event", "hash"),
    Edit("event id", sql(f"UPDATE event SET event_id = randomblob(16) {AT_4}"),
         "envelope-changed", "event", "hash"),
    Edit("correlation", sql(f"UPDATE event SET correlation_id = randomblob(16) {AT_4}"),
         "envelope-changed", "event", "hash"),
    Edit("cause", sql(f"UPDATE event SET causation_id = randomblob(16) {AT_4}"),
         "envelope-changed", "event", "hash"),
    Edit("type", sql(f"UPDATE event SET type = 'fact.expired' {AT_4}"),
         "envelope-changed", "event", "hash"),
    Edit("schema version", sql(f"UPDATE event SET schema_version = 2 {AT_4}"),
         "envelope-changed", "event", "hash"),
    Edit("hash", sql(f"UPDATE event SET hash = zeroblob(32) {AT_4}"),
         "envelope-changed", "event", "hash"),
    Edit("previous hash", sql(f"UPDATE event SET previous_hash = zeroblob(32) {AT_4}"),
         "chain-broken", "event", "previous_hash"),
    Edit("event deleted", sql("DELETE FROM event WHERE position = 6"),
         "version-gap", "event", "version"),
    Edit("all events of a ledger deleted", sql("DELETE FROM event WHERE ledger_id = 1"),
         "head-differs", "ledger", "version"),
    Edit("ledger deleted everywhere", delete_ledger, "position-gap", "event", "position"),
    Edit("payloads swapped", swap_payloads, "payload-changed", "event", "payload"),
    Edit("positions swapped between ledgers", swap_positions,
         "position-order", "event", "position"),
    Edit("tail cut", cut_tail, "head-differs", "ledger", "version"),
    Edit("tail and head cut", cut_tail_and_head, "sequence-differs", "sqlite_sequence", "seq"),
    Edit("tail, head, sequence and checkpoints cut", cut_tail_head_and_sequence, "row-differs"),
    Edit("payload gone without an erasure",
         sql("UPDATE event SET payload = NULL, salt = NULL WHERE position = 3"),
         "payload-missing", "event", "payload"),
    Edit("forgery with all hashes computed again", forge, "row-differs", "fact"),
    Edit("head moved back", sql("UPDATE ledger SET version = version - 1 WHERE id = 1"),
         "head-differs", "ledger", "version"),
    Edit("handle", sql("UPDATE ledger SET handle = randomblob(16) WHERE id = 1"),
         "envelope-changed", "event", "hash"),
    Edit("ledger renamed", sql("UPDATE ledger SET name = 'user:mallory' WHERE id = 1"),
         "wrong-ledger", "event", "payload"),
    Edit("request moved", sql("UPDATE request SET first = first + 1 WHERE rowid = 1"),
         "row-differs", "request"),
    Edit("requests deleted", sql("DELETE FROM request"), "request-differs", "request", "key"),
    Edit("key of a request", sql("UPDATE request SET key = randomblob(16) WHERE rowid = 2"),
         "request-differs", "request", "key"),
    Edit("schema version lowered", sql("PRAGMA user_version = 1"), refused=True),
    Edit("schema version raised", sql("PRAGMA user_version = 99"), refused=True),
    # Facts
    Edit("text of a fact", sql("UPDATE fact SET body = replace(body, 'green tea', 'black tea')"),
         "row-differs", "fact", "body"),
    Edit("expiry of a fact", sql("UPDATE fact SET expires_at = 1 WHERE id = 1"),
         "row-differs", "fact", "expires_at"),
    Edit("status of a fact", sql("UPDATE fact SET status = 'retracted' WHERE id = 2"),
         "row-differs", "fact", "status"),
    Edit("end of a fact", sql("UPDATE fact SET valid_to = 1 WHERE id = 2"),
         "row-differs", "fact", "valid_to"),
    Edit("digest of a fact", sql("UPDATE fact SET digest = x'00', slot = NULL WHERE id = 2"),
         "row-differs", "fact", "digest"),
    Edit("fact deleted", sql("DELETE FROM fact WHERE id = 1"), "row-missing", "fact"),
    Edit("fact forged", forge_fact_row, "row-surplus", "fact"),
    Edit("fact moved to another ledger",
         sql("UPDATE fact SET ledger_id = 2, user_id = 'bob' WHERE id = 2"),
         "row-differs", "fact", "ledger_id"),
    Edit("facts of two tenants swapped", swap_facts_of_tenants, "row-differs", "fact", "ledger_id"),
    Edit("message waits", sql("UPDATE message SET pending = 1"),
         "row-differs", "message", "pending"),
    Edit("message deleted",
         sql("DELETE FROM message WHERE position = (SELECT min(position) FROM message)"),
         "row-missing", "message"),
    Edit("evidence deleted", sql("DELETE FROM evidence"), "row-missing", "evidence"),
    # Index
    Edit("terms",
         sql("UPDATE index_document SET text_terms = (SELECT text_terms FROM index_document "
             f"ORDER BY id DESC LIMIT 1) {FIRST_DOCUMENT}"),
         "row-differs", "index_document", "text_terms"),
    Edit("vector", sql("UPDATE index_embedding SET vector = zeroblob(length(vector)) "
                       "WHERE id = (SELECT min(id) FROM index_embedding)"),
         "row-differs", "index_embedding", "vector"),
    Edit("visibility", sql(f"UPDATE index_document SET visible_to = 1 {FIRST_DOCUMENT}"),
         "row-differs", "index_document", "visible_to"),
    Edit("ledger of a document",
         sql(f"UPDATE index_document SET ledger = 3 {FIRST_DOCUMENT}"),
         "row-differs", "index_document", "ledger"),
    Edit("facts of two documents swapped", swap_documents, "row-differs", "index_document"),
    Edit("document deleted", sql(f"DELETE FROM index_document {FIRST_DOCUMENT}"),
         "row-missing", "index_document"),
    # Graph, usage, checkpoints
    Edit("object of a relation", sql("UPDATE graph_relation SET object = 'Globex' WHERE id = 1"),
         "row-differs", "graph_relation", "object"),
    Edit("ends of relations", sql("UPDATE graph_relation SET object_name = subject_name"),
         "row-differs", "graph_relation", "object_name"),
    Edit("mention deleted",
         sql("DELETE FROM graph_mention WHERE name = (SELECT min(name) FROM graph_mention)"),
         "row-missing", "graph_mention"),
    Edit("name", sql("UPDATE graph_name SET name = 'Zed' WHERE id = 1"),
         "row-differs", "graph_name", "name"),
    Edit("usage", sql("INSERT INTO usage VALUES (1, 'x', 'gpt', 5, 0, 100, 100, 9.9, 1)"),
         "row-surplus", "usage"),
    Edit("checkpoints", sql("UPDATE projection SET position = position - 1 WHERE name = 'graph'"),
         "row-differs", "projection", "position"),
    Edit("fingerprint", sql("UPDATE projection SET fingerprint = 'x' WHERE name = 'facts'"),
         "row-differs", "projection", "fingerprint"),
    # Only an anchor outside of the file can tell
    Edit("forgery, read models built from it", forge_and_rebuild, anchor=True),
    Edit("tail cut, read models built without it", cut_tail_everywhere, anchor=True),
    Edit("event appended, with the right hash", append_forged, anchor=True),
)  # fmt: skip
"""The edits, each of a whole file."""
