"""Filter of sentences without content: questions, small talk, and function words alone.

Short answers ("Yes, I do") are skipped too, since this module does not see the question.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from remembrancer.application.extraction.rules.contractions import written_out
from remembrancer.application.extraction.rules.questions import only_asks, told_before_asking
from remembrancer.application.extraction.rules.small_talk import is_small_talk
from remembrancer.domain.recall.function_words import FUNCTION_WORDS

LONGEST_CHITCHAT = 160
"""Characters; a longer sentence is taken to have content."""

_EMPTY = FUNCTION_WORDS | frozenset(
    "yours ours theirs may must shall need not no yes yeah really just too also very still even "
    "only well now again ever never always maybe oh ah uh um like all both one some any up out "
    "down off else either neither same such more most much many lot lots sure".split()
)
LONGEST_EMPTY = 6
"""Words; a longer sentence is taken to have content."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def reason_to_skip(sentence: str, names: Collection[str] = ()) -> str | None:
    """The reason to skip a sentence without content, ``None`` to keep it.

    Args:
        sentence: as it was said.
        names: of the people in the conversation.
    """
    if _WORD.search(sentence) is None:
        return "no words"
    if only_asks(sentence):
        told = told_before_asking(sentence)
        return "question" if told is None or reason_to_skip(told, names) else None
    if len(sentence) > LONGEST_CHITCHAT:
        return None
    words = _WORD.findall(written_out(sentence).casefold())
    if is_small_talk(sentence, names):
        return "small talk"
    if len(words) <= LONGEST_EMPTY and all(word in _EMPTY for word in words):
        return "no content words"
    return None
