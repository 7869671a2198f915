"""The log: one line per append. A line without a newline was never acknowledged, and is removed."""

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from remembrancer.adapters.stores.shared import chaining
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError, RemembrancerError
from remembrancer.domain.events import EventId
from remembrancer.domain.ports.audit_log import Appended
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.recorded import (
    Append,
    CorrelationId,
    Handle,
    Head,
    Position,
    Recorded,
    key_digest,
)
from remembrancer.domain.scope import LedgerId

NAME = "jsonlines"
BYTES = ("salt", "payload_digest", "previous_hash", "hash")
PLAIN = (
    "position", "ledger", "handle", "version", "event_id", "correlation_id", "causation_id",
    "actor", "type_name", "schema_version",
)  # fmt: skip


class Listener(Protocol):
    """Applies every append before ``append`` returns."""

    def apply(self, chain: Sequence[Recorded]) -> object:
        """Apply events, in order."""
        ...


class JsonLinesLog:
    """See ``AuditLog``. Safe to share between threads.

    Args:
        path: the file.
        codec: events to stored bytes and back.
        listener: called with the events of every append.

    Raises:
        AdapterUnavailable: the file can't be opened, or another process has it.
        IntegrityError: a line can't be read.
    """

    def __init__(self, path: str, codec: Codec, listener: Listener | None = None) -> None:
        self._path, self._codec, self._listener = path, codec, listener
        self._lock = threading.RLock()
        self._events: list[Recorded] = []
        self._ledgers: dict[LedgerId, list[Recorded]] = {}
        self._by_id: dict[EventId, Recorded] = {}
        self._requests: dict[tuple[LedgerId, str], Sequence[Recorded]] = {}
        try:
            self._file = Path(path).open("a+b", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise AdapterUnavailable(NAME, f"{path} can't be opened: {error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load()
        except BlockingIOError as error:
            self._file.close()
            raise AdapterUnavailable(NAME, f"{path} is open in another process") from error
        except BaseException:
            self._file.close()
            raise

    def _load(self) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file.readlines(), 1):
            if not line.endswith(b"\n"):
                self._file.truncate(whole)
                return
            whole += len(line)
            try:
                raw = json.loads(line)
                self._keep(raw["key"], [self._recorded(each) for each in raw["events"]])
            except RemembrancerError:
                # A typed error already, such as a missing key of a sealed event.
                raise
            except (ValueError, LookupError, TypeError) as error:
                raise IntegrityError(f"{self._path}:{number} can't be read: {error}") from error

    def _recorded(self, raw: Mapping[str, Any]) -> Recorded:
        # Sealed payloads are not UTF-8; this keeps them byte for byte.
        payload = raw["payload"].encode(errors="surrogateescape")
        fields: dict[str, Any] = {name: raw[name] for name in PLAIN}
        fields |= {name: bytes.fromhex(raw[name]) for name in BYTES}
        return Recorded(
            **fields,
            recorded_at=datetime.fromisoformat(raw["recorded_at"]),
            payload=payload,
            event=self._codec.decode(
                payload,
                raw["type_name"],
                raw["schema_version"],
                raw["position"],
                raw["ledger"],
                raw["event_id"],
            ),
        )

    def append(self, append: Append) -> Appended:
        """See ``AuditLog.append``."""
        chaining.check(append)
        with self._lock:
            earlier = self._earlier(append)
            if earlier:
                return Appended(recorded=tuple(earlier), replayed=True)
            head = self.head(append.ledger)
            chaining.check_version(append, head)
            chain = chaining.chained(append, head, self.last_position(), self._codec)
            key = _digest(chain[0].handle, append.idempotency_key)
            self._write(key, chain)
            self._keep(key, chain)
            if self._listener is not None:
                self._listener.apply(chain)
        return Appended(recorded=tuple(chain))

    def _earlier(self, append: Append) -> Sequence[Recorded]:
        if append.idempotency_key is not None:
            first = self.find_request(append.ledger, append.idempotency_key)
            if first:
                return first
        found = [self._by_id[new.event_id] for new in append.events if new.event_id in self._by_id]
        if found:
            found = list(self._codec.current(found))
            chaining.check_same(append, found, self._codec)
        return found

    def _write(self, key: str | None, chain: Sequence[Recorded]) -> None:
        line = json.dumps({"key": key, "events": [dict(_raw(item)) for item in chain]})
        try:
            size = self._file.seek(0, os.SEEK_END)
            try:
                whole = memoryview(line.encode() + b"\n")
                while whole:
                    whole = whole[self._file.write(whole) :]
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(size)
                raise
        except (OSError, ValueError) as error:
            raise AdapterUnavailable(NAME, f"{self._path} can't be written: {error}") from error

    def _keep(self, key: str | None, chain: Sequence[Recorded]) -> None:
        self._events.extend(chain)
        self._ledgers.setdefault(chain[0].ledger, []).extend(chain)
        self._by_id.update((item.event_id, item) for item in chain)
        if key is not None:
            self._requests[chain[0].ledger, key] = chain

    def head(self, ledger: LedgerId) -> Head:
        """See ``AuditLog.head``."""
        with self._lock:
            if not (events := self._ledgers.get(ledger)):
                return Head()
            last = events[-1]
            return Head.after(last)

    def last_position(self) -> Position:
        """See ``AuditLog.last_position``."""
        with self._lock:
            return Position(len(self._events))

    def read(self, after: Position, limit: int = 1000) -> Sequence[Recorded]:
        """See ``AuditLog.read``."""
        with self._lock:
            return self._codec.current(self._events[after : after + limit])

    def read_ledger(
        self, ledger: LedgerId, after_version: int = 0, limit: int = 1000
    ) -> Sequence[Recorded]:
        """See ``AuditLog.read_ledger``."""
        with self._lock:
            events = self._ledgers.get(ledger, [])
            return self._codec.current(events[after_version : after_version + limit])

    def read_correlation(self, correlation_id: CorrelationId) -> Sequence[Recorded]:
        """See ``AuditLog.read_correlation``."""
        with self._lock:
            found = [item for item in self._events if item.correlation_id == correlation_id]
            return self._codec.current(found)

    def find_request(self, ledger: LedgerId, idempotency_key: str) -> Sequence[Recorded]:
        """See ``AuditLog.find_request``."""
        with self._lock:
            handle = self.head(ledger).handle
            key = None if handle is None else _digest(handle, idempotency_key)
            found = () if key is None else self._requests.get((ledger, key), ())
            return self._codec.current(found)

    def ledgers(self, after: LedgerId | None = None, limit: int = 1000) -> Sequence[LedgerId]:
        """See ``AuditLog.ledgers``."""
        with self._lock:
            names = sorted(self._ledgers, key=str.encode)
        return [name for name in names if after is None or name.encode() > after.encode()][:limit]

    def close(self) -> None:
        """Close the file. A second close does nothing."""
        self._file.close()


def _digest(handle: Handle, key: str | None) -> str | None:
    """What the file keeps of an idempotency key."""
    return None if key is None else key_digest(handle, key).hex()


def _raw(item: Recorded) -> Iterator[tuple[str, Any]]:
    """The JSON fields of an event."""
    yield from ((name, getattr(item, name)) for name in PLAIN)
    yield from ((name, getattr(item, name).hex()) for name in BYTES)
    yield "recorded_at", item.recorded_at.isoformat()
    yield "payload", item.payload.decode(errors="surrogateescape")
