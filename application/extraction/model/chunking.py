"""A conversation cut into what fits one call, on the boundaries of messages.

The last messages of a chunk are shown again before the next one, as context that no fact may be
drawn from: so nothing is torn out of its context, and nothing is found twice. A message that is
too long for any call is cut at the best place that there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import frozen

from remembrancer.domain.conversation import Message

HEADER_TOKENS = 60
"""What the tags around a message take."""

LONGEST_CONTEXT = 600
"""Characters of each context message that are shown: its end."""

_NOT_PLAIN = re.compile(r"[^\x00-\x7f]+")
_CUTS = ("\n\n", "\n", ". ", "。", " ")


@frozen(kw_only=True)
class Piece:
    """A message, or a part of one. ``last`` says that no further part follows."""

    message: Message
    text: str
    last: bool = True

    @property
    def tokens(self) -> int:
        """About how many tokens it takes."""
        return estimated_tokens(self.text) + HEADER_TOKENS


@frozen(kw_only=True)
class Chunk:
    """The pieces of one call, with those that came just before them."""

    context: tuple[Piece, ...]
    pieces: tuple[Piece, ...]

    @property
    def splittable(self) -> bool:
        """Whether there are two pieces to ask about one after the other."""
        return len(self.pieces) > 1

    def halves(self, overlap: int) -> tuple[Chunk, Chunk]:
        """The chunk as two, for when it was too much for one answer; it is ``splittable``."""
        middle = len(self.pieces) // 2
        first, second = self.pieces[:middle], self.pieces[middle:]
        return (
            Chunk(context=self.context, pieces=first),
            Chunk(context=_tail((*self.context, *first), overlap), pieces=second),
        )


def estimated_tokens(text: str) -> int:
    """About how many tokens a text takes, without an encoding at hand.

    Against cl100k_base: a quarter too many for English prose, about right for Chinese, Japanese,
    Russian and Hindi, half of it for emoji and dense JSON. Budgets have to leave that much room.
    """
    size, plain = len(text.encode("utf-8", "replace")), len(_NOT_PLAIN.sub("", text))
    return plain // 3 + (size - plain) // 2 + 1


def chunks_of(messages: Sequence[Message], *, budget: int, overlap: int) -> list[Chunk]:
    """Cut a conversation.

    Args:
        messages: in the order in which they were said.
        budget: tokens of content per chunk, at most; context comes on top.
        overlap: pieces of the chunk before that are shown again as context.
    """
    chunks: list[Chunk] = []
    current: list[Piece] = []
    used = 0
    for piece in (piece for message in messages for piece in _pieces(message, budget)):
        if current and used + piece.tokens > budget:
            chunks.append(_following(chunks, current, overlap))
            current, used = [], 0
        current.append(piece)
        used += piece.tokens
    if current:
        chunks.append(_following(chunks, current, overlap))
    return chunks


def _following(chunks: Sequence[Chunk], pieces: Sequence[Piece], overlap: int) -> Chunk:
    context = _tail((*chunks[-1].context, *chunks[-1].pieces), overlap) if chunks else ()
    return Chunk(context=context, pieces=tuple(pieces))


def _tail(pieces: Sequence[Piece], overlap: int) -> tuple[Piece, ...]:
    return tuple(pieces[-overlap:]) if overlap else ()


def _pieces(message: Message, budget: int) -> Iterator[Piece]:
    rest, limit = message.text, max(budget - HEADER_TOKENS, 2)
    while estimated_tokens(rest) > limit:
        part = _fitting(rest, limit)
        for cut in _CUTS:
            place = part.rfind(cut, len(part) // 2)
            if place > 0:
                part = part[: place + len(cut)]
                break
        rest = rest[len(part) :]
        yield Piece(message=message, text=part, last=False)
    yield Piece(message=message, text=rest)


def _fitting(text: str, limit: int) -> str:
    """The longest beginning of ``text`` that takes no more than ``limit`` tokens; one character
    at the least.
    """
    low, high = 1, min(len(text), 3 * limit)
    while low < high:
        middle = (low + high + 1) // 2
        if estimated_tokens(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return text[:low]
