"""Read events and ledgers from SQL tables: the part that SQLite and PostgreSQL have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from remembrancer.adapters.damage import DAMAGE, damaged, decoding
from remembrancer.adapters.stores.shared.scripts import Row, Script, Statement
from remembrancer.domain.epoch_micros import from_microseconds, optional_moment
from remembrancer.domain.errors import RemembrancerError
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.recorded import Handle, Head, Recorded
from remembrancer.domain.scope import LedgerId

EVENT_COLUMNS = (
    "ledger.name, handle, event.version, event_id, event.recorded_at, correlation_id, "
    "causation_id, actor, type, schema_version, payload, salt, payload_digest, previous_hash, "
    "event.hash"
)
"""What ``decoded`` needs after the position, from ``event`` joined with ``ledger``."""


def decoded(rows: Sequence[Row], codec: Codec, id_of: Callable[[Any], str]) -> list[Recorded]:
    """Return the events of rows that consist of the position and ``EVENT_COLUMNS``.

    Args:
        rows: the rows.
        codec: decodes the payloads.
        id_of: turns an id, as it is stored, into hex digits.

    Raises:
        IntegrityError: a row is damaged; names its position.
    """
    try:
        return _decoded(rows, codec, id_of) if rows else []
    except RemembrancerError:
        raise
    except DAMAGE as error:
        for row in rows:
            with decoding(f"table event, position {row[0]!r}"):
                _decoded([row], codec, id_of)
        raise damaged("table event", error) from error


def _decoded(rows: Sequence[Row], codec: Codec, id_of: Callable[[Any], str]) -> list[Recorded]:
    # By column, not by row, so that the loops of a replay run in C.
    (
        positions, ledgers, handles, versions, event_ids, recorded_at, correlation_ids,
        causation_ids, actors, types, schema_versions, payloads, salts, digests,
        previous_hashes, hashes,
    ) = zip(*rows, strict=True)  # fmt: skip
    if not all(isinstance(name, str) for name in set(ledgers)):
        raise TypeError("the name of the ledger is no text")
    ids: list[Any] = list(map(id_of, event_ids))
    # All events of an append have the same time.
    times = {value: from_microseconds(value) for value in set(recorded_at)}
    return list(
        map(
            Recorded,
            positions,
            ledgers,
            map(id_of, handles),
            versions,
            ids,
            map(times.__getitem__, recorded_at),
            map(id_of, correlation_ids),
            [id_of(cause) if cause else None for cause in causation_ids],
            actors,
            types,
            schema_versions,
            codec.decode_all(payloads, types, schema_versions, positions, ledgers, ids),
            payloads,
            salts,
            digests,
            previous_hashes,
            hashes,
        )
    )


def head_of(version: int, hashed: bytes, recorded_at: int | None, handle: str) -> Head:
    """Return the head in a row of ``ledger``."""
    return Head(
        handle=Handle(handle),
        version=version,
        hash=hashed,
        recorded_at=optional_moment(recorded_at),
    )


def find_head(ledger: LedgerId, id_of: Callable[[Any], str]) -> Script[tuple[int | None, Head]]:
    """Return the id and the head of a ledger; ``None`` and an empty head if there is none."""
    found = yield Statement(
        "SELECT id, version, hash, recorded_at, handle FROM ledger WHERE name = %s", (ledger,)
    )
    for ledger_id, version, hashed, recorded_at, handle in found.rows:
        return ledger_id, head_of(version, hashed, recorded_at, id_of(handle))
    return None, Head()


def list_ledgers(after: LedgerId | None, limit: int) -> Script[list[LedgerId]]:
    """See ``AuditLog.ledgers``."""
    found = yield Statement(
        "SELECT name FROM ledger WHERE name > %s ORDER BY name LIMIT %s", (after or "", limit)
    )
    return [LedgerId(name) for (name,) in found.rows]
