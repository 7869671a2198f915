"""Store and query the versions of facts: the part that SQLite and PostgreSQL have in common.

One row of ``fact`` per version, one of ``message`` per message, one of ``evidence`` per message
that a fact cites. ``domain.facts.evolve.changes_of`` decides how an event changes facts.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, ClassVar

import msgspec
from attrs import define, field

from remembrancer.adapters.damage import DAMAGE, damaged
from remembrancer.adapters.stores.shared.scripts import Batch, Row, Script, Statement
from remembrancer.adapters.stores.shared.visibility import covered, listed
from remembrancer.application.reconciliation.ending_keys import ending_key
from remembrancer.application.reconciliation.near_duplicates import signature
from remembrancer.domain.conversation import Message
from remembrancer.domain.epoch_micros import bounds_of, optional_microseconds, to_microseconds
from remembrancer.domain.errors import IntegrityError
from remembrancer.domain.events import (
    EventId,
    InferenceRecorded,
    MessageObserved,
    PayloadErased,
    PipelineDescribed,
)
from remembrancer.domain.facts.evolve import FactChange, changes_of, fact_ids_of, restored_key
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, FactStatus, MessageId
from remembrancer.domain.filters.ast import Filter
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.ports.fact_store import FactQuery, Tally
from remembrancer.domain.recorded import CorrelationId, Recorded
from remembrancer.domain.scope import LedgerId, Scope

LATEST = "recorded_to IS NULL AND status = 'active'"
BELIEVED = "recorded_to IS NULL AND status IN ('active', 'superseded')"

FACT_INDEXES = (
    "UNIQUE INDEX IF NOT EXISTS fact_key ON fact (fact_id, version)",
    "INDEX IF NOT EXISTS fact_created ON fact (ledger_id, created_at, fact_id)",
    # With recorded_from, a listing of the past passes over later versions without reading them.
    "INDEX IF NOT EXISTS fact_occurred ON fact (ledger_id, occurred_at, fact_id, recorded_from)",
    "INDEX IF NOT EXISTS fact_lead ON fact (ledger_id, (occurred_at - created_at))",
    f"INDEX IF NOT EXISTS fact_digest ON fact (ledger_id, digest) WHERE {LATEST}",
    "INDEX IF NOT EXISTS fact_in_slot ON fact (ledger_id, slot) "
    # SQLite uses it for LATEST and BELIEVED, which both contain these conditions.
    "WHERE recorded_to IS NULL AND slot IS NOT NULL",
    "INDEX IF NOT EXISTS fact_ending ON fact (ledger_id, ending) "
    f"WHERE {LATEST} AND ending IS NOT NULL",
    "INDEX IF NOT EXISTS fact_due ON fact (ledger_id, expires_at) "
    f"WHERE {LATEST} AND expires_at IS NOT NULL",
)

FILTER_COLUMNS = {
    **{
        name: name
        for name in (
            *("fact_id", "status", "occurred_at", "created_at", "valid_from", "valid_to"),
            "expires_at",
        )
    },
    "updated_at": "recorded_from",
}
"""The columns of the built-in fields that both stores have a column for."""

_OF_LEDGER = "ledger_id = (SELECT id FROM ledger WHERE name = %s)"

_LEAD = (
    f"SELECT occurred_at - created_at FROM fact WHERE {_OF_LEDGER} "
    "ORDER BY occurred_at - created_at DESC LIMIT 1"
)
"""By how much a message of the ledger was dated later than it was recorded, at most."""

COLUMNS = (
    *("fact_id", "version", "ledger_id", "user_id", "agent_id", "run_id", "app_id", "status"),
    *("digest", "ending", "slot", "occurred_at", "created_at", "valid_from", "valid_to", "gaps"),
    *("recorded_from", "recorded_to", "expires_at", "rivals", "body"),
)

MESSAGE = ("ledger_id", "message_id", "conversation", "occurred_at", "pending")
"""The columns of ``message`` after the place of its event."""

_ID = re.compile(r'"fact_id":"(\w+)"')

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Fact)


class FactScripts(ABC):
    """The scripts of one store; see ``FactStore`` for what the queries return.

    Args:
        codec: decodes the messages in stored events.
    """

    body: ClassVar[str]
    """The expression for the JSON of a fact, as text."""

    columns: ClassVar[Sequence[str]] = COLUMNS
    """The columns of ``fact`` in the order of ``row``."""

    place: ClassVar[str]
    """The column of ``message`` that identifies the event of a message."""

    events: ClassVar[str]
    """``message`` joined with ``event``."""

    position: ClassVar[str]
    """The expression for the position of an event in ``events``."""

    bounds: ClassVar[str]
    """The bounds of interruptions as a table; see ``visibility.timely``."""

    is_blocked: ClassVar[str]
    """The condition of blocked facts, as in the index of them."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._insert = (
            f"INSERT INTO fact ({', '.join(self.columns)}) "
            f"VALUES ({', '.join(['%s'] * len(self.columns))})"
        )
        self._observe = (
            f"INSERT INTO message ({self.place}, {', '.join(MESSAGE)}) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
        )
        self._messages = (
            f"SELECT payload, type, schema_version, {self.position}, ledger.name, event_id "
            f"FROM {self.events} JOIN ledger ON ledger.id = message.ledger_id"
        )

    @staticmethod
    @abstractmethod
    def id_of(stored: Any) -> str:
        """The event id or correlation id in a row."""

    @abstractmethod
    def any_of(self, column: str, values: Sequence[object]) -> Iterable[tuple[str, object]]:
        """Conditions with their parameter; rows with one of ``values`` meet exactly one of them."""

    @abstractmethod
    def newest(self, ledger_id: int, ids: Sequence[FactId]) -> Iterable[Statement]:
        """Statements that select the latest version of each fact that the ledger has."""

    @abstractmethod
    def loading(self, keys: Sequence[FactKey]) -> Statement:
        """The statement that selects versions in the order of their keys."""

    @staticmethod
    @abstractmethod
    def listed(numbers: Sequence[int]) -> object:
        """A list of numbers as stored in one column."""

    @abstractmethod
    def condition(self, where: Filter) -> tuple[str, list[object]]:
        """A filter as a condition on the rows of ``fact``, and its parameters."""

    def row(self, ledger_id: int, fact: Fact) -> tuple[object, ...]:
        """The row of a version."""
        return (
            fact.fact_id,
            fact.version,
            ledger_id,
            fact.scope.user_id,
            fact.scope.agent_id,
            fact.scope.run_id,
            fact.scope.app_id,
            fact.status.value,
            _digest(signature(fact.text)),
            _optional_digest(ending_key(fact.text)),
            fact.slot,
            to_microseconds(fact.occurred_at),
            to_microseconds(fact.created_at),
            optional_microseconds(fact.valid.start),
            optional_microseconds(fact.valid.end),
            self.listed(bounds_of(fact.interruptions)) if fact.interruptions else None,
            optional_microseconds(fact.recorded.start),
            optional_microseconds(fact.recorded.end),
            optional_microseconds(fact.expires_at),
            len(fact.rivals),
            _encoded(fact),
        )

    def apply(self, ledger_id: int, chain: Sequence[Recorded]) -> Script[list[FactChange]]:
        """Apply events of one ledger in the append's transaction.

        Returns:
            The changes of facts, for the read models that depend on them.
        """
        yield from self._note_messages(ledger_id, chain)
        yield from self._note_pipelines(ledger_id, chain)
        ids = {fact_id for item in chain for fact_id in fact_ids_of(item.event)}
        if not ids:
            return []
        latest = yield from self._latest(ledger_id, ids)
        rivals = {rival for fact in latest.values() for rival in fact.rivals} - latest.keys()
        latest |= yield from self._latest(ledger_id, rivals)
        versions = yield from self._restored(chain)
        rows = _Rows()
        changes: list[FactChange] = []
        for item in chain:
            for change in changes_of(item.event, item.recorded_at, latest.get, versions.get):
                latest[change.after.fact_id] = change.after
                versions[change.after.key] = change.after
                rows.add(change)
                changes.append(change)
        yield from self._write(ledger_id, rows)
        return changes

    def _latest(self, ledger_id: int, ids: Collection[FactId]) -> Script[dict[FactId, Fact]]:
        latest: dict[FactId, Fact] = {}
        for statement in self.newest(ledger_id, sorted(ids)):
            found = yield from _facts(statement)
            latest.update((fact.fact_id, fact) for fact in found)
        return latest

    def _restored(self, chain: Sequence[Recorded]) -> Script[dict[FactKey, Fact]]:
        """The earlier versions that events bring back."""
        keys = [key for item in chain if (key := restored_key(item.event)) is not None]
        facts = (yield from self.load(keys)) if keys else []
        return {fact.key: fact for fact in facts}

    def _note_pipelines(self, ledger_id: int, chain: Sequence[Recorded]) -> Script[None]:
        digests = [item.event.digest for item in chain if isinstance(item.event, PipelineDescribed)]
        if digests:
            yield Batch(
                "INSERT INTO pipeline VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [(ledger_id, digest) for digest in digests],
            )

    def has_pipeline(self, ledger: LedgerId, digest: str) -> Script[bool]:
        """Whether the ledger has the description of a pipeline."""
        found = yield Statement(
            f"SELECT 1 FROM pipeline WHERE {_OF_LEDGER} AND digest = %s", (ledger, digest)
        )
        return bool(found.rows)

    def _note_messages(self, ledger_id: int, chain: Sequence[Recorded]) -> Script[None]:
        observed: dict[MessageId, list[object]] = {}
        done: list[MessageId] = []
        for item in chain:
            event = item.event
            if isinstance(event, MessageObserved):
                message = event.message
                observed.setdefault(
                    message.message_id,
                    list(message_row(item.position, ledger_id, message, pending=event.extract)),
                )
            elif isinstance(event, InferenceRecorded):
                done += event.messages
                for message_id in event.messages:
                    if message_id in observed:
                        observed[message_id][-1] = False
        for clause, parameter in self.any_of("message_id", done):
            yield Statement(
                f"UPDATE message SET pending = false WHERE {clause} AND ledger_id = %s",
                (parameter, ledger_id),
            )
        if observed:
            yield Batch(self._observe, observed.values())

    def _write(self, ledger_id: int, rows: _Rows) -> Script[None]:
        if rows.ended:
            yield Batch(
                "UPDATE fact SET recorded_to = %s, body = %s WHERE fact_id = %s AND version = %s",
                [
                    (optional_microseconds(fact.recorded.end), _encoded(fact), *fact.key)
                    for fact in rows.ended
                ],
            )
        if rows.begun:
            yield Batch(
                self._insert,
                [self.row(ledger_id, fact) for fact in rows.begun.values()],
            )
        if rows.evidence:
            yield Batch(
                "INSERT INTO evidence VALUES (%s, %s) ON CONFLICT DO NOTHING", rows.evidence
            )

    def versions(self, ids: Sequence[FactId]) -> Script[list[Fact]]:
        """All versions of facts, those of one fact together, oldest first."""
        found: list[Fact] = []
        for clause, parameter in self.any_of("fact_id", ids):
            found += yield from _facts(
                Statement(
                    f"SELECT {self.body} FROM fact WHERE {clause} ORDER BY fact_id, version",
                    (parameter,),
                )
            )
        return found

    def citing(self, message_ids: Sequence[MessageId]) -> Script[list[tuple[MessageId, Fact]]]:
        """All versions of the facts whose evidence names one of the messages."""
        citing: list[tuple[MessageId, Fact]] = []
        for clause, parameter in self.any_of("message_id", message_ids):
            found = yield Statement(
                f"SELECT message_id, {self.body} FROM evidence JOIN fact USING (fact_id) "
                f"WHERE {clause} ORDER BY fact_id, version",
                (parameter,),
            )
            citing += [(message_id, _fact(body)) for message_id, body in found.rows]
        return citing

    def load(self, keys: Sequence[FactKey]) -> Script[list[Fact]]:
        """The versions with these keys, in their order."""
        return _facts(self.loading(keys))

    def find(self, query: FactQuery) -> Script[list[Fact]]:
        """One page of a listing."""
        column = query.order.value.lstrip("-")
        descending = query.order.value.startswith("-")
        clauses, parameters = self._listed(query)
        if query.as_of is not None:
            # Implied by the other conditions; it tells where a listing of the past begins.
            created = to_microseconds(query.as_of)
            if column == "created_at":
                clauses.append("created_at <= %s")
                parameters.append(created)
            else:
                clauses.append(f"occurred_at <= %s + ({_LEAD})")
                parameters += (created, query.scope.ledger)
        if query.after is not None:
            moment, fact_id = query.after
            clauses.append(f"({column}, fact_id) {'<' if descending else '>'} (%s, %s)")
            parameters.extend((to_microseconds(moment), fact_id))
        direction = "DESC" if descending else "ASC"
        return _facts(
            Statement(
                f"SELECT {self.body} FROM fact WHERE {' AND '.join(clauses)} "
                f"ORDER BY {column} {direction}, fact_id {direction} LIMIT %s",
                (*parameters, query.limit),
            )
        )

    def count(self, query: FactQuery) -> Script[int]:
        """The number of facts in all pages of a listing."""
        clauses, parameters = self._listed(query)
        found = yield Statement(
            f"SELECT count(*) FROM fact WHERE {' AND '.join(clauses)}", parameters
        )
        ((count,),) = found.rows
        return int(count)

    def _listed(self, query: FactQuery) -> tuple[list[str], list[object]]:
        clauses, parameters = listed(query, self.bounds)
        if query.where is not None:
            clause, values = self.condition(query.where)
            clauses.append(clause)
            parameters.extend(values)
        return clauses, parameters

    def active(
        self, ledger: LedgerId, texts: Sequence[str], slots: Sequence[str]
    ) -> Script[list[Fact]]:
        """The active facts with one of the texts or slots."""
        digests = [_digest(signature(text)) for text in texts]
        found: dict[FactId, Fact] = {}
        for column, values in (("digest", digests), ("slot", slots)):
            for clause, parameter in self.any_of(column, list(dict.fromkeys(values))):
                facts = yield from self._active(
                    [f"{_OF_LEDGER} AND {column} IS NOT NULL AND {clause}"], (ledger, parameter)
                )
                found.update((fact.fact_id, fact) for fact in facts)
        return list(found.values())

    def endings(self, ledger: LedgerId, keys: Sequence[str]) -> Script[list[Fact]]:
        """The active facts with one of the ``ending_key``s."""
        found: list[Fact] = []
        digests = [_digest(key) for key in dict.fromkeys(keys)]
        for clause, parameter in self.any_of("ending", digests):
            found += yield from self._active(
                [f"{_OF_LEDGER} AND ending IS NOT NULL AND {clause}"], (ledger, parameter)
            )
        return found

    def in_slots(self, ledger: LedgerId, slots: Sequence[str]) -> Script[list[Fact]]:
        """The latest versions of active and superseded facts in one of the slots."""
        found: list[Fact] = []
        for clause, parameter in self.any_of("slot", list(dict.fromkeys(slots))):
            found += yield from self._latest_versions(
                [f"{_OF_LEDGER} AND slot IS NOT NULL AND {clause}"], (ledger, parameter), BELIEVED
            )
        return found

    def blocked(self, ledger: LedgerId) -> Script[list[Fact]]:
        """The withdrawn facts that are not to be drawn again."""
        return self._latest_versions([_OF_LEDGER], (ledger,), self.is_blocked)

    def active_in(self, scope: Scope) -> Script[list[Fact]]:
        """The active facts that a scope covers."""
        return self._active(*covered(scope))

    def due(self, ledger: LedgerId, now: datetime) -> Script[list[Fact]]:
        """The active facts that have expired."""
        return self._active(
            [_OF_LEDGER, "expires_at <= %s", "expires_at IS NOT NULL"],
            (ledger, to_microseconds(now)),
        )

    def _active(self, clauses: Sequence[str], parameters: Sequence[object]) -> Script[list[Fact]]:
        return self._latest_versions(clauses, parameters, LATEST)

    def _latest_versions(
        self, clauses: Sequence[str], parameters: Sequence[object], among: str
    ) -> Script[list[Fact]]:
        return _facts(
            Statement(
                f"SELECT {self.body} FROM fact WHERE {' AND '.join(clauses)} AND {among} "
                "ORDER BY id",
                parameters,
            )
        )

    def pending(self, ledger: LedgerId | None, limit: int) -> Script[list[Message]]:
        """The messages that wait for extraction, oldest first."""
        where, parameters = _one_or_all(ledger, "message.ledger_id")
        found = yield Statement(
            f"{self._messages} WHERE pending AND {where} "
            f"ORDER BY {self.position}, message.{self.place} LIMIT %s",
            (*parameters, limit),
        )
        return [message for row in found.rows if (message := self.message(row)) is not None]

    def messages(self, ledger: LedgerId, ids: Sequence[MessageId]) -> Script[list[Message]]:
        """The messages of a ledger with these ids, in their order."""
        messages: dict[MessageId, Message] = {}
        for clause, parameter in self.any_of("message_id", ids):
            found = yield Statement(
                f"{self._messages} WHERE {clause} AND ledger.name = %s", (parameter, ledger)
            )
            for row in found.rows:
                if (message := self.message(row)) is not None:
                    messages[message.message_id] = message
        return [messages[each] for each in ids if each in messages]

    def unfinished(self, ledger: LedgerId | None, limit: int) -> Script[list[CorrelationId]]:
        """The requests with messages that wait for extraction, oldest first."""
        where, parameters = _one_or_all(ledger, "message.ledger_id")
        found = yield Statement(
            f"SELECT correlation_id FROM {self.events} WHERE pending AND {where} "
            f"GROUP BY correlation_id ORDER BY min({self.position}), min(message.{self.place}) "
            "LIMIT %s",
            (*parameters, limit),
        )
        return [CorrelationId(self.id_of(request)) for (request,) in found.rows]

    def tally(self, ledger: LedgerId | None) -> Script[Tally]:
        """The counts of one ledger or of all."""
        where, parameters = _one_or_all(ledger, "ledger_id")
        statuses = yield Statement(
            "SELECT status, count(*) FILTER (WHERE recorded_to IS NULL), count(*) "
            f"FROM fact WHERE {where} GROUP BY status",
            parameters,
        )
        counts = yield Statement(
            f"SELECT count(*), count(*) FILTER (WHERE pending) FROM message WHERE {where}",
            parameters,
        )
        ((messages, pending),) = counts.rows
        return Tally(
            facts={FactStatus(status): count for status, count, _ in statuses.rows if count},
            versions=sum(versions for _, _, versions in statuses.rows),
            messages=messages,
            pending=pending,
        )

    def message(self, row: Row) -> Message | None:
        """Decode the message of a stored event; ``None`` if it was erased.

        Args:
            row: payload, type, schema version, position, ledger and id of the event.

        Raises:
            IntegrityError: the event is not a ``MessageObserved``.
        """
        payload, type_name, schema_version, position, ledger, event_id = row
        event = self._codec.decode(
            payload, type_name, schema_version, position, ledger, EventId(self.id_of(event_id))
        )
        if isinstance(event, PayloadErased):
            return None
        if not isinstance(event, MessageObserved):
            raise IntegrityError(
                f"position {position}: expected a message, found {type_name}; restore a backup"
            )
        return event.message


@define
class _Rows:
    """Row changes of one append, merged so that each row is written once."""

    begun: dict[FactKey, Fact] = field(factory=dict)
    ended: list[Fact] = field(factory=list)
    evidence: list[tuple[MessageId, FactId]] = field(factory=list)

    def add(self, change: FactChange) -> None:
        before, after = change.before, change.after
        if before is not None:
            if before.key in self.begun:
                self.begun[before.key] = before
            else:
                self.ended.append(before)
        self.begun[after.key] = after
        self.evidence += [
            (evidence.message_id, after.fact_id)
            for evidence in after.evidence[len(before.evidence) if before else 0 :]
        ]


def _facts(statement: Statement) -> Script[list[Fact]]:
    found = yield statement
    return [_fact(body) for (body,) in found.rows]


def _fact(body: Any) -> Fact:
    try:
        return _decoder.decode(body)
    except DAMAGE as error:
        # Most damage leaves the id readable.
        found = _ID.search(body) if isinstance(body, str) else None
        fact_id = f", fact {found[1]}" if found else ""
        raise damaged(f"table fact, column body{fact_id}", error) from error


def _encoded(fact: Fact) -> str:
    return _encoder.encode(fact).decode()


def message_row(
    place: int, ledger_id: int, message: Message, *, pending: bool
) -> tuple[object, ...]:
    """The row of a message: the place of its event, and the columns of ``MESSAGE``."""
    return (
        place,
        ledger_id,
        message.message_id,
        _conversation_of(message.scope),
        to_microseconds(message.occurred_at),
        pending,
    )


def _conversation_of(scope: Scope) -> str:
    """The key of a conversation within a ledger."""
    return _encoder.encode([scope.agent_id, scope.run_id, scope.app_id]).decode()


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=16).digest()


def _optional_digest(key: str | None) -> bytes | None:
    return None if key is None else _digest(key)


def _one_or_all(ledger: LedgerId | None, column: str) -> tuple[str, list[object]]:
    if ledger is None:
        return "true", []
    return f"{column} = (SELECT id FROM ledger WHERE name = %s)", [ledger]
