"""The result of a verification: what was checked, what could not be, and every fault with its
place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import define, field, frozen

from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.scope import LedgerId

MAX_FAULTS = 100
"""Maximum of listed faults, and of listed warnings. All are counted."""

LONGEST = 200
"""Characters of a value that a fault shows."""

LOG = "log"
"""The projection of a fault in the log itself."""


class FaultKind(StrEnum):
    """What is wrong."""

    PAYLOAD_CHANGED = "payload-changed"
    PAYLOAD_MISSING = "payload-missing"
    PAYLOAD_LEFT = "payload-left-after-erasure"
    ENVELOPE_CHANGED = "envelope-changed"
    CHAIN_BROKEN = "chain-broken"
    VERSION_GAP = "version-gap"
    POSITION_GAP = "position-gap"
    POSITION_ORDER = "position-order"
    HEAD_DIFFERS = "head-differs"
    SEQUENCE_DIFFERS = "sequence-differs"
    REQUEST_DIFFERS = "request-differs"
    WRONG_LEDGER = "wrong-ledger"
    UNSEALED = "unsealed"
    UNREADABLE = "unreadable"
    UNKNOWN_TYPE = "unknown-type"
    ROW_DIFFERS = "row-differs"
    ROW_MISSING = "row-missing"
    ROW_SURPLUS = "row-surplus"
    SCHEMA_DIFFERS = "schema-differs"
    FILE_DAMAGED = "file-damaged"


RESTORE = "the log is the source of truth; restore a backup"
REBUILD = "run remembrancer rebuild read_models"
"""What to do about a fault in the log, and about one in a read model."""


@frozen(kw_only=True)
class Fault:
    """One value that is not what it must be.

    ``table``, ``key`` and ``column`` name the place in the store; a fault of the log also has the
    ``version`` in its ledger and the ``position``. ``expected`` and ``found`` are shown in at most
    ``LONGEST`` characters; ``None`` means that there is no such value to show. ``help`` says what
    to do.
    """

    kind: FaultKind
    projection: str
    table: str | None = None
    key: str | None = None
    column: str | None = None
    ledger: LedgerId | None = None
    version: int | None = None
    position: int | None = None
    expected: str | None = None
    found: str | None = None
    help: str = ""

    def __str__(self) -> str:
        place = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("position", self.position),
                ("table", self.table),
                ("key", self.key),
                ("column", self.column),
            )
            if value is not None
        )
        values = ""
        if self.expected is not None or self.found is not None:
            values = f": expected {self.expected}, found {self.found}"
        owner = "" if self.ledger is None else f"{self.ledger}: "
        return f"{owner}{self.kind.value}: {place or self.projection}{values}; {self.help}"


@frozen(kw_only=True)
class Unchecked:
    """A part that was not checked, and why."""

    what: str
    why: str


@define
class Findings:
    """What a check has found so far. ``checked`` counts rows by what they are."""

    checked: Counter[str] = field(factory=Counter)
    unchecked: list[Unchecked] = field(factory=list)
    total: int = 0
    _in_log: list[Fault] = field(factory=list)
    _derived: list[Fault] = field(factory=list)

    @property
    def faults(self) -> list[Fault]:
        """The first ``MAX_FAULTS``; those in the log come first, for others follow from them."""
        return [*self._in_log, *self._derived][:MAX_FAULTS]

    def fault(self, fault: Fault) -> None:
        """Add a fault. All are counted, even if they are not kept."""
        self.total += 1
        self._keep(fault)

    def _keep(self, fault: Fault) -> None:
        kept = self._in_log if fault.projection == LOG else self._derived
        if len(kept) < MAX_FAULTS:
            kept.append(fault)

    def skip(self, what: str, why: str) -> None:
        """Note a part that can't be checked, once."""
        part = Unchecked(what=what, why=why)
        if part not in self.unchecked:
            self.unchecked.append(part)

    def add(self, other: Findings) -> None:
        """Add the findings of another part."""
        self.checked.update(other.checked)
        for part in other.unchecked:
            self.skip(part.what, part.why)
        for fault in (*other._in_log, *other._derived):
            self._keep(fault)
        self.total += other.total


@frozen(kw_only=True)
class Verification:
    """The outcome of ``verify``.

    ``checked`` counts what was compared: events, ledgers, facts, documents and so on. ``faults``
    lists the first ``MAX_FAULTS`` of ``faults_total``. ``unchecked`` names what could not be
    checked. ``warnings`` are no contradictions: ledgers whose last event is in the future.
    """

    checked: Mapping[str, int]
    unchecked: tuple[Unchecked, ...] = ()
    faults: tuple[Fault, ...] = ()
    faults_total: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no fault was found in what was checked."""
        return not self.faults

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for was checked."""
        return not self.unchecked

    @property
    def first(self) -> Fault | None:
        """The first fault: in the log if there is one, else in what is derived from it."""
        return self.faults[0] if self.faults else None

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {
            "ok": self.ok,
            "complete": self.complete,
            "first": to_jsonable(self.first),
            **to_jsonable(self),
        }


def made_otherwise(fingerprint: str | None, own: str) -> str:
    """Why an index can't be checked with this memory's settings, by both fingerprints."""
    return f"it was made with {shown(fingerprint)}, and this memory has {shown(own)}"


def shown(value: object) -> str:
    """A stored value in at most ``LONGEST`` characters; bytes in hex digits."""
    if isinstance(value, bytes | bytearray | memoryview):
        text = f"x'{bytes(value[: LONGEST // 2]).hex()}'"
    elif isinstance(value, str):
        text = ascii(value[:LONGEST])
    else:
        text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def shown_apart(expected: object, found: object) -> tuple[str, str]:
    """Two values, each as ``shown``; long ones from shortly before they differ."""
    kinds = (str, bytes)
    if type(expected) is not type(found) or not isinstance(expected, kinds):
        return shown(expected), shown(found)
    assert isinstance(found, kinds)
    if max(len(expected), len(found)) <= LONGEST // 2:
        return shown(expected), shown(found)
    pairs = zip(expected, found, strict=False)
    same = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    start = max(0, (min(len(expected), len(found)) if same is None else same) - LONGEST // 8)
    end = start + LONGEST // 2
    mark = f"[{start}:] " if start else ""
    return f"{mark}{shown(expected[start:end])}", f"{mark}{shown(found[start:end])}"
