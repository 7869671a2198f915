"""Check events as ``AuditLog`` returns them, without a look at how a store keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.domain.audit.chain import ChainCheck, EventRow, StoredLedger
from remembrancer.domain.audit.faults import LOG, RESTORE, Fault, FaultKind, Findings
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.events import PayloadErased
from remembrancer.domain.recorded import GENESIS, Head, Recorded
from remembrancer.domain.scope import LedgerId


def event_row(item: Recorded) -> EventRow:
    """The row of an event that was read through ``AuditLog``."""
    erased = isinstance(item.event, PayloadErased) and not isinstance(item.payload, bytes)
    return (
        item.position,
        item.version,
        bytes.fromhex(item.event_id),
        to_microseconds(item.recorded_at),
        bytes.fromhex(item.correlation_id),
        None if item.causation_id is None else bytes.fromhex(item.causation_id),
        item.actor,
        item.type_name,
        item.schema_version,
        None if erased else item.payload,
        None if erased else item.salt,
        item.payload_digest,
        item.previous_hash,
        item.hash,
    )


def ledger_row(name: LedgerId, head: Head) -> StoredLedger:
    """The row of a ledger that was read through ``AuditLog``."""
    return StoredLedger(
        id=0,
        name=name,
        version=head.version,
        hash=head.hash,
        recorded_at=None if head.recorded_at is None else to_microseconds(head.recorded_at),
        handle=bytes.fromhex(head.handle or ""),
        requests=GENESIS,
    )


def faults_of(items: Sequence[Recorded]) -> Sequence[Fault]:
    """The faults in all events of one ledger, from its first on."""
    findings = Findings()
    if items:
        first = items[0]
        check = ChainCheck(ledger_row(first.ledger, Head.after(items[-1])), findings)
        fold = LedgerFold(first.ledger, findings)
        check.feed(map(event_row, items))
        fold.apply(items)
        check.finish(fold.erasures)
        for item in items:
            if (item.ledger, item.handle) != (first.ledger, first.handle):
                findings.fault(
                    Fault(
                        kind=FaultKind.WRONG_LEDGER,
                        projection=LOG,
                        ledger=first.ledger,
                        version=item.version,
                        position=item.position,
                        expected=f"{first.ledger} {first.handle}",
                        found=f"{item.ledger} {item.handle}",
                        help=RESTORE,
                    )
                )
    return findings.faults
