"""The TCP proxy for tests: it relays all data, and fails as scripted."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from remembrancer.testing.unreliable_wire import UnreliableWire

POLL = 0.01
"""Seconds between two looks of the server at whether it must stop."""


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while said := self.request.recv(1024):
                self.request.sendall(said)
        except OSError:
            pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def wire() -> Iterator[UnreliableWire]:
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL,))
        thread.start()
        with UnreliableWire("127.0.0.1", server.server_address[1]) as wire:
            yield wire
        server.shutdown()
        thread.join()


def connected(wire: UnreliableWire) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.port), timeout=5)


def echo(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(1024)


def test_data_is_relayed_both_ways(wire: UnreliableWire) -> None:
    with connected(wire) as client:
        assert echo(client, b"hello") == b"hello"


def test_half_closed_client_gets_the_whole_answer(wire: UnreliableWire) -> None:
    with connected(wire) as client:
        client.sendall(b"bye")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1024) == b"bye"
        assert client.recv(1024) == b""


def is_over(client: socket.socket) -> bool:
    try:
        return echo(client, b"?") == b""
    except OSError as error:
        return not isinstance(error, TimeoutError)


def test_cut_resets_connections_and_refuses_new_ones_until_mend(wire: UnreliableWire) -> None:
    with connected(wire) as before:
        echo(before, b"hello")
        wire.cut()
        assert is_over(before)
        with connected(wire) as during:
            assert is_over(during)
        wire.mend()
        with connected(wire) as after:
            assert echo(after, b"hello") == b"hello"


def test_drop_resets_connections_and_accepts_new_ones(wire: UnreliableWire) -> None:
    with connected(wire) as before:
        echo(before, b"hello")
        wire.drop()
        assert is_over(before)
        with connected(wire) as after:
            assert echo(after, b"hello") == b"hello"


def test_half_close_drops_answers_until_mend(wire: UnreliableWire) -> None:
    with connected(wire) as client:
        echo(client, b"hello")
        wire.half_close()
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            echo(client, b"lost")
        wire.mend()
        client.settimeout(5)
        assert echo(client, b"found") == b"found"


def test_delay_delays_answers(wire: UnreliableWire) -> None:
    with connected(wire) as client:
        wire.delay(0.2)
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            echo(client, b"slow")
        client.settimeout(5)
        assert client.recv(1024) == b"slow"


def test_cut_at_before_resets_before_the_server_receives_the_bytes(wire: UnreliableWire) -> None:
    wire.cut_at(b"COMMIT", "before")
    with connected(wire) as client:
        assert echo(client, b"BEGIN") == b"BEGIN"
        client.sendall(b"COMMIT")
        assert is_over(client)
    assert not wire.cuts


def test_cut_at_after_resets_when_the_answer_arrives(wire: UnreliableWire) -> None:
    wire.cut_at(b"COMMIT", "after")
    with connected(wire) as client:
        client.sendall(b"COMMIT")
        assert is_over(client)
    with connected(wire) as another:
        assert echo(another, b"COMMIT") == b"COMMIT"


def test_silence_affects_only_open_connections(wire: UnreliableWire) -> None:
    with connected(wire) as old:
        echo(old, b"hello")
        wire.silence()
        old.settimeout(0.1)
        with pytest.raises(TimeoutError):
            echo(old, b"lost")
        with connected(wire) as new:
            assert echo(new, b"hello") == b"hello"
