"""Count tokens with an encoding that is on this machine, or estimate them.

tiktoken downloads an encoding that it does not have. A memory must not: so the file is looked for
where tiktoken caches it and where litellm ships it, and read from there.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

ENCODING = "cl100k_base"

_URL = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
# tiktoken names a cached file by the SHA-1 of its address; the SHA-256 is that of its content.
_FILE = hashlib.sha1(_URL.encode(), usedforsecurity=False).hexdigest()
_DIGEST = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"

_PIECES = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
"""How cl100k_base divides a text before it merges bytes."""

_ESTIMATED = re.compile(r"[A-Za-z]+|[ \t]+|.", re.DOTALL)
LETTERS_PER_TOKEN = 3
"""English words have 4 to 5 letters to a token, other languages in Latin letters 2 to 4."""


class EstimatedTokens:
    """Estimates tokens from above: one for ``LETTERS_PER_TOKEN`` ASCII letters of a word, for each
    other ASCII character that is no space, and for each byte of all other characters.

    Ordinary text has fewer tokens than that in every common encoding; runs of random letters may
    have more.
    """

    name = "estimate"

    def count(self, texts: Sequence[str]) -> Sequence[int]:
        """See ``TokenCounter.count``."""
        return [sum(map(_estimate, _ESTIMATED.findall(text))) for text in texts]


class EncodedTokens:
    """Counts tokens of ``cl100k_base``.

    Args:
        encoding: the encoding.
    """

    name = ENCODING

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding

    def count(self, texts: Sequence[str]) -> Sequence[int]:
        """See ``TokenCounter.count``. Names of special tokens count as ordinary text."""
        # tiktoken raises on unpaired surrogates.
        whole = (text.encode("utf-8", "replace").decode() for text in texts)
        return [len(self._encoding.encode_ordinary(text)) for text in whole]


class LocalTokens:
    """Counts tokens with tiktoken if it is installed and an encoding is on this machine, else
    estimates them. The encoding is read at the first count, once in a process.
    """

    @property
    def name(self) -> str:
        """See ``TokenCounter.name``."""
        return _local_counter().name

    def count(self, texts: Sequence[str]) -> Sequence[int]:
        """See ``TokenCounter.count``."""
        return _local_counter().count(texts)


@cache
def _local_counter() -> EncodedTokens | EstimatedTokens:
    if find_spec("tiktoken") is None:
        return EstimatedTokens()
    for folder in _folders():
        try:
            content = (folder / _FILE).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest() == _DIGEST:
            return EncodedTokens(_encoding(content))
    return EstimatedTokens()


def _folders() -> Iterator[Path]:
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    yield Path(tempfile.gettempdir()) / "data-gym-cache"
    # Not imported: that takes seconds.
    litellm = find_spec("litellm")
    for place in (litellm and litellm.submodule_search_locations) or ():
        yield Path(place) / "litellm_core_utils" / "tokenizers"


def _encoding(content: bytes) -> tiktoken.Encoding:
    from tiktoken import Encoding

    pairs = (line.split() for line in content.splitlines() if line)
    return Encoding(
        name=ENCODING,
        pat_str=_PIECES,
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in pairs},
        special_tokens={},
    )


def _estimate(piece: str) -> int:
    if piece[0].isascii():
        if piece[0].isalpha():
            return -(-len(piece) // LETTERS_PER_TOKEN)
        # A word takes the space before it along.
        return len(piece) // 8 if piece[0] in " \t" else 1
    return len(piece.encode("utf-8", "replace"))
