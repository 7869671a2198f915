"""Classify a sentence: procedural (an instruction), episodic (an event) or semantic (knowledge).

An instruction is a user's request about the agent's behaviour. An event has a date in the past or
says that somebody did something. Everything else is knowledge.
"""

from __future__ import annotations

import re
from datetime import datetime

from remembrancer.application.extraction.rules.contractions import straight
from remembrancer.application.extraction.rules.dates import Dated
from remembrancer.application.extraction.rules.tense import Tense, narrates, tense_of
from remembrancer.domain.conversation import Role
from remembrancer.domain.facts.fact import FactKind

_BEHAVE = (
    r"(?:answer|reply|respond|speak|write|use|call|address|format|explain|keep your|include|add|"
    r"ask|give|show|tell|talk|translate|summari[sz]e|cite|avoid|assume|suggest|recommend|mention|"
    r"send|start|end|begin|make sure|stick|remind|greet|sign|"
    r"be (?:brief|concise|polite|formal|direct|honest|careful))"
)
_LEAD = (
    r"(?:(?:hi|hey|hello|ok(?:ay)?|also|and|but|so|please|from now on|in (?:the )?future|"
    r"(?:whenever|when i|if i|for me|for all) [^,]{1,60})[,:]?\s+)*"
)
_INSTRUCTION = re.compile(
    rf"{_LEAD}(?:(?:please\s+)?(?:always|never|do not|don't|stop|only)\s+{_BEHAVE}(?:ing)?\b"
    rf"|please\s+{_BEHAVE}\b|call me\b|remember to\b|make sure\b"
    r"|(?:answer|reply|respond|speak|write|talk)\s+(?:to me\s+)?(?:in|with|only|briefly|shortly)\b"
    r"|i (?:want|need|would like|'d like|prefer|expect) you to\b"
    r"|you (?:should|must) (?:always|never)\b)",
    re.IGNORECASE,
)
_LOOKED_AT = 300


def kind_of(
    sentence: str, *, role: Role, said_at: datetime, dated: Dated | None, answers: bool
) -> FactKind:
    """The kind of a fact.

    Args:
        sentence: as it was said.
        role: of its speaker.
        said_at: when it was said (aware).
        dated: the date expression in it, if any.
        answers: whether it fills a slot; then it is about a state, even if it reports a change.
    """
    text = straight(sentence[:_LOOKED_AT])
    if role is Role.USER and _INSTRUCTION.match(text):
        return FactKind.PROCEDURAL
    if answers or (dated is not None and dated.standing):
        return FactKind.SEMANTIC
    if dated is not None and dated.start <= said_at.date():
        ahead = tense_of(text) is Tense.FUTURE or dated.until > said_at.date()
        return FactKind.EPISODIC if not ahead or narrates(text) else FactKind.SEMANTIC
    return FactKind.EPISODIC if dated is None and narrates(text) else FactKind.SEMANTIC
