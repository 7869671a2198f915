"""Fake Neo4j server: Bolt 5.4 on the loopback interface, for tests with the real driver.

It implements messages, transactions and failures of the protocol for one user; ``tables``
implements the statements.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from attrs import define, field

from tests.engines.packstream import Message, pack, unpack
from tests.engines.tables import Answer, Tables, Transaction

HELLO, GOODBYE, RESET, RUN, BEGIN, COMMIT, ROLLBACK = 0x01, 0x02, 0x0F, 0x10, 0x11, 0x12, 0x13
DISCARD, PULL, ROUTE, LOGON, LOGOFF = 0x2F, 0x3F, 0x66, 0x6A, 0x6B
SUCCESS, RECORD, IGNORED, FAILURE = 0x70, 0x71, 0x7E, 0x7F

USER, PASSWORD, DATABASE = "neo4j", "stand-in", "neo4j"


class Refusal(Exception):
    """Makes the server answer with ``FAILURE``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BoltServer:
    """Starts to listen when created.

    Args:
        databases: stored data by database name.
        context: TLS context with the certificate; ``None`` for an unencrypted server.
    """

    def __init__(
        self, databases: Mapping[str, Tables], context: ssl.SSLContext | None = None
    ) -> None:
        self.databases = databases
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def uri(self) -> str:
        """URI of the server."""
        return f"bolt://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Cut all connections; open transactions are rolled back."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # Without this, each small answer waits for the acknowledgement of the previous one.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # A client may disconnect without GOODBYE. TLS errors are OSErrors.
        with connection, suppress(OSError, EOFError):
            if self._context is None:
                _Conversation(self, connection).hold()
            else:
                with self._context.wrap_socket(connection, server_side=True) as encrypted:
                    _Conversation(self, encrypted).hold()
        self._open.discard(connection)


@define
class _Conversation:
    server: BoltServer
    connection: socket.socket
    failed: bool = False
    known: bool = False
    transaction: Transaction | None = None
    answers: list[Answer] = field(factory=list)

    def hold(self) -> None:
        """Do the handshake, then answer messages; an open transaction is rolled back at the end."""
        try:
            self._shake_hands()
            while (message := self._receive()).kind != GOODBYE:
                self._take(message)
        finally:
            self.roll_back()

    def _shake_hands(self) -> None:
        offered = self._read(20)
        assert offered[:4] == b"\x60\x60\xb0\x17"
        self.connection.sendall(bytes([0, 0, 4, 5]))

    def _take(self, message: Message) -> None:
        if message.kind == RESET:
            self.roll_back()
            self.failed = False
            self._send(SUCCESS, {})
        elif self.failed:
            self._send(IGNORED)
        else:
            self._answer(message)

    def roll_back(self) -> None:
        """Roll back an open transaction."""
        if self.transaction is not None:
            self.transaction.roll_back()
        self.transaction, self.answers = None, []

    def _answer(self, message: Message) -> None:
        try:
            for kind, content in self._answers(message):
                self._send(kind, content)
        except Refusal as refusal:
            self.failed = True
            self._send(FAILURE, {"code": refusal.code, "message": str(refusal)})

    def _answers(self, message: Message) -> Iterator[tuple[int, Any]]:
        if message.kind == HELLO:
            yield SUCCESS, {"server": "Neo4j/5.26-stand-in", "connection_id": "bolt-1", "hints": {}}
        elif message.kind == LOGON:
            self._log_on(message.fields[0])
            yield SUCCESS, {}
        elif not self.known:
            self._refuse("Request.Invalid", f"message {message.kind:#x} before LOGON")
        elif message.kind == ROUTE:
            yield SUCCESS, {"rt": self._routes()}
        elif message.kind == BEGIN:
            self._begin(message.fields[0])
            yield SUCCESS, {}
        elif message.kind == RUN:
            yield SUCCESS, self._run(*message.fields[:2])
        elif message.kind in (PULL, DISCARD):
            yield from self._pull(message.fields[0], discarded=message.kind == DISCARD)
        elif message.kind == COMMIT:
            yield SUCCESS, {"bookmark": self._opened().commit()}
            self.roll_back()
        elif message.kind == ROLLBACK:
            self.roll_back()
            yield SUCCESS, {}
        else:
            self._refuse("Request.Invalid", f"message {message.kind:#x}")

    def _log_on(self, token: dict[str, Any]) -> None:
        if (token.get("principal"), token.get("credentials")) != (USER, PASSWORD):
            # Servers quote what they refuse; the adapter must cut it.
            said = f"The client is unauthorized: {token.get('credentials')}"
            self._refuse("Security.Unauthorized", said)
        self.known = True

    def _begin(self, extra: dict[str, Any]) -> None:
        database = extra.get("db") or DATABASE
        if database not in self.server.databases:
            self._refuse("Database.DatabaseNotFound", f"Database does not exist: {database}")
        assert self.transaction is None
        self.transaction = self.server.databases[database].begin(writing=extra.get("mode") != "r")

    def _run(self, statement: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if (answer := self._opened().run(statement, parameters)) is None:
            self._refuse("Statement.SyntaxError", f"unknown statement {statement!r}")
        self.answers.append(answer)
        return {"fields": answer.fields, "qid": len(self.answers) - 1, "t_first": 0}

    def _pull(self, extra: dict[str, Any], *, discarded: bool) -> Iterator[tuple[int, Any]]:
        answer = self.answers[extra.get("qid", -1)]
        most = extra["n"] if extra["n"] >= 0 else len(answer.rows)
        rows, answer.rows = answer.rows[:most], answer.rows[most:]
        if not discarded:
            for row in rows:
                yield RECORD, row
        done = {"type": "rw", "t_last": 0, "db": DATABASE}
        yield SUCCESS, {"has_more": True} if answer.rows else done

    def _opened(self) -> Transaction:
        if self.transaction is None:
            self._refuse("Request.Invalid", "no transaction is open")
        return self.transaction

    def _routes(self) -> dict[str, Any]:
        here = [f"127.0.0.1:{self.server.port}"]
        roles = ("ROUTE", "READ", "WRITE")
        servers = [{"addresses": here, "role": role} for role in roles]
        return {"ttl": 300, "db": DATABASE, "servers": servers}

    def _refuse(self, code: str, message: str) -> NoReturn:
        raise Refusal(f"Neo.ClientError.{code}", message)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.connection.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _receive(self) -> Message:
        data = b""
        while True:
            (size,) = struct.unpack(">H", self._read(2))
            if not size and data:
                message = unpack(data)
                assert isinstance(message, Message)
                return message
            data += self._read(size)

    def _send(self, kind: int, *fields: Any) -> None:
        data = pack(Message(kind, list(fields)))
        chunks = (data[at : at + 0xFFFF] for at in range(0, len(data), 0xFFFF))
        framed = b"".join(struct.pack(">H", len(chunk)) + chunk for chunk in chunks)
        self.connection.sendall(framed + b"\0\0")
