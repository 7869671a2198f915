"""Check the stored rows of one ledger: its hash chain, versions, positions and erasures.

Every stored byte of an event is hashed or compared; nothing is decoded. A row is a tuple of
``EVENT``, with ids as 16 bytes and times in microseconds, as the store has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from attrs import frozen

from remembrancer.domain.audit.faults import LOG, RESTORE, Fault, FaultKind, Findings, shown
from remembrancer.domain.events import FactErased, LedgerErased
from remembrancer.domain.recorded import GENESIS, HEADER_VERSION
from remembrancer.domain.scope import LedgerId

EVENT = (
    *("position", "version", "event_id", "recorded_at", "correlation_id", "causation_id"),
    *("actor", "type", "schema_version", "payload", "salt", "payload_digest", "previous_hash"),
    "hash",
)

EventRow: TypeAlias = Sequence[Any]


@frozen(kw_only=True)
class StoredLedger:
    """A row of the table of ledgers. ``handle`` has 16 bytes."""

    id: int
    name: LedgerId
    version: int
    hash: bytes
    recorded_at: int | None
    handle: bytes
    requests: bytes


class ChainCheck:
    """Checks the events of one ledger, fed page by page in the order of their versions.

    Args:
        ledger: its row, which must name the last event.
        findings: gets the faults.
    """

    def __init__(self, ledger: StoredLedger, findings: Findings) -> None:
        self._ledger = ledger
        self._findings = findings
        self._version = 0
        self._hash = GENESIS
        self._recorded_at = -(1 << 63)
        self._position = 0
        self._missing: list[tuple[int, int]] = []
        # Text of another type prints alike: the number 5 and the text "5".
        self._texts: set[object] = set()
        self.broken: set[int] = set()
        """Positions of the events with a fault."""

    def feed(self, rows: Iterable[EventRow]) -> None:
        """Check the next rows."""
        start = f"{HEADER_VERSION}\n{self._ledger.handle.hex()}\n"
        version, previous, time, position = (
            self._version, self._hash, self._recorded_at, self._position,
        )  # fmt: skip
        texts, digest_of = self._texts, sha256
        for row in rows:
            (
                at, number, event_id, recorded_at, correlation_id, causation_id, actor, kind,
                schema_version, payload, salt, digest, before, hashed,
            ) = row  # fmt: skip
            try:
                if actor not in texts or kind not in texts:
                    self._keep_texts(actor, kind)
                header = (
                    f"{start}{number}\n{event_id.hex()}\n{recorded_at}\n{correlation_id.hex()}\n"
                    f"{causation_id.hex() if causation_id is not None else ''}\n{actor}\n{kind}\n"
                    f"{schema_version}"
                ).encode()
                right = (
                    number == version + 1
                    and before == previous
                    and payload is not None
                    and digest_of(salt + payload).digest() == digest
                    and digest_of(before + digest + header).digest() == hashed
                    and at > position
                    and (recorded_at > time or (recorded_at == time and at == position + 1))
                )
            except (TypeError, AttributeError, ValueError) as error:
                self._unlike(row, error)
            else:
                if not right:
                    self._examine(row, version, previous, time, position, header)
            version, previous, time, position = number, hashed, recorded_at, at
            if not (type(number) is type(recorded_at) is type(at) is int):
                # It has a fault already; go on where the row should have been.
                version, time, position = self._version + 1, self._recorded_at, self._position + 1
            self._version, self._recorded_at, self._position = version, time, position
        self._hash = previous

    def _keep_texts(self, *values: object) -> None:
        for value in values:
            if type(value) is not str:
                raise TypeError(f"expected a text, got {type(value).__name__}")
            self._texts.add(value)

    def _unlike(self, row: EventRow, error: Exception) -> None:
        """A value has another type than it was written with."""
        for name, value in zip(EVENT, row, strict=True):
            kinds = _KINDS[name]
            if not isinstance(value, kinds):
                expected = " or ".join(kind.__name__ for kind in kinds)
                self._fault(FaultKind.ENVELOPE_CHANGED, row, name, expected, shown(value))
                return
        self._fault(FaultKind.ENVELOPE_CHANGED, row, None, None, str(error)[:100])

    def _examine(
        self,
        row: EventRow,
        version: int,
        previous: bytes,
        time: int,
        position: int,
        header: bytes,
    ) -> None:
        """Name what is wrong with a row."""
        (at, number, _, recorded_at, *_, payload, salt, digest, before, hashed) = row
        if number != version + 1:
            self._fault(FaultKind.VERSION_GAP, row, "version", version + 1, number)
        if before != previous:
            self._fault(
                FaultKind.CHAIN_BROKEN, row, "previous_hash", shown(previous), shown(before)
            )
        if payload is None:
            self._missing.append((number, at))
            if salt is not None:
                self._fault(FaultKind.PAYLOAD_LEFT, row, "salt", None, shown(salt))
        elif sha256(salt + payload).digest() != digest:
            found = sha256(salt + payload).digest()
            self._fault(
                FaultKind.PAYLOAD_CHANGED,
                row,
                "payload",
                f"SHA-256 {digest.hex()} with the salt",
                found.hex(),
            )
        found = sha256(before + digest + header).digest()
        if found != hashed:
            self._fault(FaultKind.ENVELOPE_CHANGED, row, "hash", found.hex(), shown(hashed))
        if at <= position:
            self._fault(FaultKind.POSITION_ORDER, row, "position", f"above {position}", at)
        elif recorded_at == time and at != position + 1:
            # Events of one append have one time, and follow each other.
            self._fault(FaultKind.POSITION_ORDER, row, "position", position + 1, at)
        elif recorded_at < time:
            self._fault(
                FaultKind.POSITION_ORDER, row, "recorded_at", f"at least {time}", recorded_at
            )

    def finish(self, erasures: Iterable[tuple[int, FactErased | LedgerErased]] = ()) -> None:
        """Check the head, and that exactly the payloads that were erased are missing.

        Args:
            erasures: the versions and events of the ledger's erasures.
        """
        covered: set[int] = set()
        for version, event in erasures:
            versions = event.versions if isinstance(event, FactErased) else range(1, version)
            covered |= {number for number in versions if number < version}
        missing = {number for number, _ in self._missing}
        for number, at in self._missing:
            if number not in covered:
                self._simple(
                    FaultKind.PAYLOAD_MISSING, "event", "payload", at, number, "bytes", "NULL"
                )
        for number in sorted(covered - missing):
            if number <= self._version:
                self._simple(
                    FaultKind.PAYLOAD_LEFT, "event", "payload", None, number, "NULL", "bytes"
                )
        self._findings.checked["payloads_erased"] += len(missing & covered)
        ledger = self._ledger
        for column, expected, found in (
            ("version", self._version, ledger.version),
            ("hash", self._hash, ledger.hash),
            ("recorded_at", self._recorded_at if self._version else None, ledger.recorded_at),
        ):
            if expected != found:
                self._simple(
                    FaultKind.HEAD_DIFFERS,
                    *("ledger", column, None, None),
                    *(shown(expected), shown(found)),
                )

    def _fault(
        self, kind: FaultKind, row: EventRow, column: str | None, expected: object, found: object
    ) -> None:
        at = row[0] if isinstance(row[0], int) else None
        if at is not None:
            self.broken.add(at)
        self._simple(kind, "event", column, at, row[1], expected, found)

    def _simple(
        self,
        kind: FaultKind,
        table: str,
        column: str | None,
        position: int | None,
        version: object,
        expected: object,
        found: object,
    ) -> None:
        ledger = self._ledger
        self._findings.fault(
            Fault(
                kind=kind,
                projection=LOG,
                table=table,
                key=f"id {ledger.id}" if table == "ledger" else f"version {shown(version)}",
                column=column,
                ledger=ledger.name,
                version=version if isinstance(version, int) else None,
                position=position,
                expected=None if expected is None else str(expected),
                found=None if found is None else str(found),
                help=RESTORE,
            )
        )


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("position", "version", "recorded_at", "schema_version"), (int,)),
    **dict.fromkeys(("actor", "type"), (str,)),
    **dict.fromkeys(("event_id", "correlation_id", "payload_digest"), (bytes,)),
    **dict.fromkeys(("previous_hash", "hash"), (bytes,)),
    **dict.fromkeys(("causation_id", "payload", "salt"), (bytes, type(None))),
}
