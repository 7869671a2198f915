"""The slot of a statement: the same one that a sentence with that meaning fills."""

from __future__ import annotations

from remembrancer.application.extraction.rules import slots
from remembrancer.application.extraction.rules.reading import SlotReading
from remembrancer.domain.conversation import Role
from remembrancer.domain.facts.fact import Statement
from remembrancer.domain.text import normalised


def in_words(statement: Statement) -> str:
    """The statement as a sentence."""
    subject = statement.subject
    return f"{subject[:1].upper()}{subject[1:]} {statement.predicate} {statement.value}"


def slot_of(statement: Statement) -> str:
    """The slot that a statement fills: subject and attribute, as sentences have them.

    The rules read the statement as a sentence; of a predicate that they do not know, the attribute
    is the predicate itself.
    """
    reading = reading_of(statement)
    if reading is not None:
        return reading.slot
    return f"{normalised(statement.subject)}/{normalised(statement.predicate)}"


def reading_of(statement: Statement) -> SlotReading | None:
    """The reading of a statement by the rules; ``None`` if they do not know its predicate.

    "user" is the speaker of most sentences: of it, "lives in Rome" is read as "I live in Rome".
    """
    return slots.read(in_words(statement), Role.USER.value)
