"""A memory in another process, called over a pipe.

Run as a script, this is the process: it reads one JSON object per line, ``{"do": [[method,
arguments], ...]}``, makes the calls in order and answers with one line. Imported, it is the client.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

Call = tuple[str, Mapping[str, Any]]
"""A method of ``Memory`` with its arguments, or ``open`` with a ``path`` and a ``dimension``."""


class Refused(Exception):
    """An error raised in the other process. ``kind`` is the class name."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Remote:
    """The client of a process with a memory."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, *calls: Call) -> None:
        """Send calls without waiting for the answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": calls}) + "\n")
        self._process.stdin.flush()

    def answers(self) -> list[Any]:
        """The results of the last ``begin``, as by ``to_dict``, or ``Refused``."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process has died"
        return [
            Refused(*answer["refused"]) if "refused" in answer else answer["returned"]
            for answer in json.loads(line)
        ]

    def call(self, method: str, **arguments: Any) -> Any:
        """Make one call and wait for the answer.

        Raises:
            Refused: the call raised an error in the other process.
        """
        self.begin((method, arguments))
        (answer,) = self.answers()
        if isinstance(answer, Refused):
            raise answer
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _serve() -> None:
    from remembrancer import Memory
    from remembrancer.domain.errors import RemembrancerError
    from remembrancer.wiring.settings import load_settings

    # Import everything now, so that processes can open a file at the same time.
    memory = Memory()

    def make(method: str, arguments: dict[str, Any]) -> Any:
        nonlocal memory
        if method == "open":
            memory.close()
            audit_log = {"path": arguments["path"], "durability": "normal"}
            config = {"audit_log": audit_log, "embedder": {"dimension": arguments["dimension"]}}
            memory = Memory(settings=load_settings(config, environment={}))
            return None
        result = getattr(memory, method)(**arguments)
        return result.to_dict() if hasattr(result, "to_dict") else result

    def answer(call: Sequence[Any]) -> dict[str, Any]:
        try:
            return {"returned": make(*call)}
        except RemembrancerError as error:
            return {"refused": [type(error).__name__, str(error)]}

    for line in sys.stdin:
        print(json.dumps([answer(call) for call in json.loads(line)["do"]]), flush=True)
    memory.close()


if __name__ == "__main__":
    _serve()
