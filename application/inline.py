"""Running a coroutine that never suspends: no event loop, no thread."""

from __future__ import annotations

import traceback
from collections.abc import Coroutine
from typing import Any, TypeVar

from remembrancer.domain.errors import RemembrancerError

T = TypeVar("T")


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end with a single ``send(None)``.

    An error that is not ours may be an interrupt: the local variables of its traceback are cleared
    (see ``_release``).

    Raises:
        RuntimeError: it suspended; one of its adapters was not lifted for ``Memory``.
    """
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    except RemembrancerError:
        raise
    except BaseException as error:
        _release(error)
        raise
    coroutine.close()
    raise RuntimeError("a use-case suspended under Memory; lift its adapters with lift_inline")


def _release(error: BaseException) -> None:
    """Release what the frames of a traceback hold.

    A signal handler may raise at the first bytecode of ``__exit__``, before anything is done there.
    The context manager, with its lock or transaction, then lives as long as the traceback, which
    a debugger or an interactive session keeps. Without a reference, its generator is closed at
    once, and releases both.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)
            pending += (each.__cause__, each.__context__)
