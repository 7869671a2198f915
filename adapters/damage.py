"""Data that an engine kept or answered and that can't be what remembrancer wrote: one typed error
that names the place.

Each adapter decodes inside one of these boundaries: nothing else tells a damaged page from a
mistake in the program, and callers can handle neither of the dozen errors of the decoders.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from remembrancer.domain.errors import IntegrityError, InvalidRequest, RemembrancerError

DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What decoders raise: msgspec, json, datetime and numpy, and the code that takes values apart."""


def damaged(place: str, error: Exception) -> IntegrityError:
    """The typed error for data that can't be decoded.

    Args:
        place: the file, table, row, column or position, and whose.
        error: what the decoder raised. Its text is cut, because it may quote the data.
    """
    problem = " ".join(str(error).split())[:120]
    return IntegrityError(
        f"{place}: what is stored can't be read ({type(error).__name__}: {problem}); restore a "
        "backup, or rebuild it"
    )


@contextmanager
def decoding(place: str, *, checked: bool = False) -> Iterator[None]:
    """Raise errors of decoding as ``IntegrityError``; typed errors pass.

    Args:
        place: see ``damaged``.
        checked: treat ``InvalidRequest`` as damage too: the block makes a value with checks of its
            own, and no caller has given it.
    """
    try:
        yield
    except RemembrancerError as error:
        if checked and isinstance(error, InvalidRequest):
            raise damaged(place, error) from error
        raise
    except DAMAGE as error:
        raise damaged(place, error) from error
