"""Detect questions, and questions that also state something ("I moved to Oslo, did I tell you?").

Word order of English, Chinese and Japanese; question marks of any language.
"""

from __future__ import annotations

import re

from remembrancer.application.extraction.rules.contractions import straight

_QUESTION_MARK = re.compile(r"[?？؟][^\w]*$")
_AUXILIARY = (
    r"(?:is|are|am|was|were|do|does|did|have|has|had|can|could|would|will|should|shall|might|"
    r"may(?! \d))"
)
_ASKING = (
    rf"(?:(?:what|where|why|who|whom|whose|which|how)\b|(?:when )?{_AUXILIARY}(?:n't)?\b|when's\b)"
)
_ASKS = re.compile(
    rf"(?:and |but |so |or |ok(?:ay)?,? |well,? |hey,? |hi,? )*{_ASKING}", re.IGNORECASE
)
# "Had the best day" and "Did it again" omit the subject and are no questions.
_ASKS_WITHOUT_MARK = re.compile(
    rf"(?:(?:what|where|when|why|who|how)(?:'?s| {_AUXILIARY}) (?:not )?"
    r"(?:i|you|we|they|he|she|it|my|your|the|there|this|that)"
    rf"|(?:how (?:old|much|many|long|far|often|tall|big)|what (?:time|day|date|kind)) {_AUXILIARY}"
    r"|(?:is|are|was|were|can|could|would|will|should|does) (?:i|you|we|they|he|she|it|there)"
    r"|(?:did|do|have|has|had|am|shall|may|might) (?:i|you|we|they|he|she))\b[^.!]*$",
    re.IGNORECASE,
)
_PARTICLE = re.compile(r"(?:吗|ですか|ますか|でしょうか)[。.]?$")
_TELL = re.compile(
    r"(?:(?:can|could|would|will) (?:you|u)|do you mind|would you mind)(?: please| kindly)? "
    r"(?:remember(?:ing)?|not(?:e|ing)(?: down)?|keep(?:ing)? in mind|bear(?:ing)? in mind|"
    r"sav(?:e|ing)|stor(?:e|ing)|tak(?:e|ing) into account|mak(?:e|ing) a note(?: of)?|"
    r"writ(?:e|ing) down)\b(?! (?:what|where|when|who|whom|whose|which|why|how|whether|if|"
    r"anything|something|to)\b)",
    re.IGNORECASE,
)
_TAGGED = re.compile(
    r"(?:\S+\s+){2,}?\S+,? (?:right|(?:is|are|was|were|do|does|did|have|has|can|ca|wo|would)n't "
    r"(?:it|he|she|they|we|you|I)|remember|you know|huh|eh|correct)\?\W*$",
    re.IGNORECASE,
)
_ABOUT_ONESELF = re.compile(
    r"(?:and |but |so |well,? |yes,? |yeah,? |no,? )*"
    r"(?!I mean\b|I wonder|I was wondering|I guess|may I\b)(?:I|I'm|I've|I'd|my|we|we're|we've|our)"
    r"(?:\s+\S+){3,}",
    re.IGNORECASE,
)
_TOLD_FIRST = re.compile(
    rf"(?!if\b|when\b)(?P<told>.+?)(?:\s*[,;\u2013\u2014]|\s-)\s*(?:and |but |so )?{_ASKING}",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"(?:\b(?:is|are|was|were|am|been|has|have|had|looks?|sounds?|seems?|must|I|my|we|our|"
    r"[^\W\d_]{3,}ed)|'(?:s|re|m|ve))\b",
    re.IGNORECASE,
)
_FEWEST_WORDS_TOLD = 3

_LOOKED_AT = 400
_LONGEST_WITHOUT_MARK = 160


def only_asks(sentence: str) -> bool:
    """Whether a sentence is a question and nothing else."""
    head, tail = straight(sentence[:_LOOKED_AT]), sentence[-24:]
    if _TELL.match(head):
        return False
    if _QUESTION_MARK.search(tail) is None:
        return _PARTICLE.search(tail) is not None or (
            len(sentence) <= _LONGEST_WITHOUT_MARK and _ASKS_WITHOUT_MARK.match(head) is not None
        )
    if _ASKS.match(head):
        return True
    return not any(pattern.match(head) for pattern in (_TAGGED, _ABOUT_ONESELF))


def told_before_asking(sentence: str) -> str | None:
    """The statement before a question ("My dog is sick, what can I do?"), if there is one."""
    match = _TOLD_FIRST.match(straight(sentence[:_LOOKED_AT]))
    if match is None:
        return None
    told = sentence[: match.end("told")]
    stated = len(told.split()) >= _FEWEST_WORDS_TOLD and _VERB.search(straight(told)) is not None
    return told if stated and _ASKS.match(told) is None else None
