"""Raise an error at the nth place where a signal handler could raise it."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

_CALLS = {
    dis.opmap[name]
    for name in ("CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD")
    if name in dis.opmap
}
_RESUME = dis.opmap["RESUME"]


class Injection:
    """Counts the places of one thread where CPython runs signal handlers: after a call, at the
    beginning of a function and of a loop's next turn.

    Args:
        files: ends of the paths of source files; other code is not counted.
        at: the place that fails, counted from 1; ``None`` only counts.
        error: makes the error to raise.

    Attributes:
        count: the places passed.
        where: function and line of the place that failed.
    """

    def __init__(
        self,
        files: Iterable[str],
        at: int | None = None,
        error: Callable[[], BaseException] = KeyboardInterrupt,
    ) -> None:
        self._files = tuple(files)
        self._at = at
        self._error = error
        self._codes: dict[CodeType, bytes | None] = {}
        self._tables: dict[CodeType, list[int]] = {}
        self.count = 0
        self.where: str | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Inject into the code of the block, in this thread."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        code = self._bytecode(frame.f_code)
        if code is None:
            return None
        frame.f_trace_opcodes = True
        handlers = self._handlers(frame.f_code)
        before, place = (0, 0), 0

        def step(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal before, place
            if event == "opcode":
                passed = before
                before = code[frame.f_lasti], code[frame.f_lasti + 1]
                # An argument of 2 or more: after ``await``, where no handler runs.
                if passed[0] in _CALLS or (passed[0] == _RESUME and passed[1] < 2):
                    self._pass(frame, handlers[place], handlers[frame.f_lasti])
                place = frame.f_lasti
            return step

        return step

    def _pass(self, frame: FrameType, before: int, after: int) -> None:
        if before != after:
            # The interpreter would raise inside of a ``with`` or ``try`` that has ended here.
            return
        self.count += 1
        if self.count == self._at:
            sys.settrace(None)
            self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
            raise self._error()

    def _handlers(self, code: CodeType) -> list[int]:
        """The handler of exceptions for each place in the bytecode, -1 without one."""
        if code not in self._tables:
            table = [-1] * (len(code.co_code) + 2)
            for entry in dis.Bytecode(code).exception_entries:  # type: ignore[attr-defined]
                for place in range(entry.start, entry.end):
                    table[place] = entry.target
            self._tables[code] = table
        return self._tables[code]

    def _bytecode(self, code: CodeType) -> bytes | None:
        if code not in self._codes:
            chosen = code.co_filename.endswith(self._files)
            self._codes[code] = code.co_code if chosen else None
        return self._codes[code]
