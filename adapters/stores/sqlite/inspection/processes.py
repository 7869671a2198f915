"""Divide the ledgers of a file among processes. The calling one takes part from the start, so that
the others, which first import everything, delay nothing.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from attrs import define, field

from remembrancer.domain.audit.faults import Findings
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, RemembrancerError

WORTH = 20_000
"""Events for each process: about as many as are checked while another one starts."""

AHEAD = 2
"""Shares that a process has at once, so that it needs not wait for the next."""


def pickled(task: Any) -> bytes:
    """A task as it is sent to processes.

    Raises:
        InvalidRequest: it can't be sent.
    """
    try:
        return pickle.dumps(task)
    except Exception as error:
        raise InvalidRequest(
            "jobs",
            f"the embedder or the key vault can't be sent to other processes ({error}); set 1",
        ) from error


@define(eq=False)
class _Worker:
    """A process, and the numbers of the shares that it has."""

    process: Any
    connection: Connection
    shares: deque[int] = field(factory=deque)


def divided(
    shares: Iterable[Any],
    check: Callable[[Any], Findings],
    others: int,
    begin: Callable[[bytes], Callable[[Any], Findings]],
    sent: bytes,
    found: Callable[[Findings], None],
) -> list[Findings]:
    """Check shares here and in other processes.

    Args:
        shares: what is checked together.
        check: checks a share in this process.
        others: processes besides this one.
        begin: a function of a module; makes the same as ``check`` from ``sent``.
        sent: the result of ``pickled``.
        found: called with the findings of each share, as they come.

    Returns:
        The findings in the order of the shares.

    Raises:
        AdapterUnavailable: a process ended before its time.
    """
    left = deque(enumerate(shares))
    findings: dict[int, Findings] = {}
    workers = [_started(begin, sent) for _ in range(min(others, len(left) - 1))]
    busy = {worker.connection: worker for worker in workers}
    try:
        while left or any(worker.shares for worker in workers):
            # Here, if there is work; else the others have the rest.
            for connection in wait(list(busy), 0 if left else None):
                assert isinstance(connection, Connection)
                worker = busy[connection]
                answer = _received(connection)
                if answer is not None:
                    findings[worker.shares.popleft()] = answer
                    found(answer)
                while left and len(worker.shares) < AHEAD:
                    number, share = left.popleft()
                    worker.shares.append(number)
                    connection.send(share)
            if left:
                number, share = left.popleft()
                findings[number] = check(share)
                found(findings[number])
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()
            worker.connection.close()
    return [findings[number] for number in sorted(findings)]


def _started(begin: Callable[[bytes], Callable[[Any], Findings]], sent: bytes) -> _Worker:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, begin, sent), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _received(connection: Connection) -> Findings | None:
    """An answer; ``None`` of a process that is ready.

    Raises:
        AdapterUnavailable: the process ended.
    """
    try:
        answer = connection.recv()
    except (EOFError, OSError) as error:
        raise AdapterUnavailable("verify", "a process ended before its time") from error
    if isinstance(answer, RemembrancerError):
        raise answer
    assert answer is None or isinstance(answer, Findings)
    return answer


def _work(
    connection: Connection, begin: Callable[[bytes], Callable[[Any], Findings]], sent: bytes
) -> None:
    """Check shares until the calling process ends this one."""
    check = begin(sent)
    connection.send(None)
    while True:
        try:
            share = connection.recv()
        except EOFError:
            return
        try:
            connection.send(check(share))
        except RemembrancerError as error:
            connection.send(error)
