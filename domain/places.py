"""Places that the record names: a version of a fact, a span of a message."""

from __future__ import annotations

from remembrancer.domain.facts.fact import Fact, FactId, FactKey, MessageId


def place_of_fact(fact: Fact) -> str:
    """``fact_id@version``."""
    return f"{fact.fact_id}@{fact.version}"


def fact_of(place: str) -> FactKey:
    """The fact and the version in a ``place_of_fact``; version 0 if it names none."""
    fact_id, _, version = place.partition("@")
    return FactId(fact_id), int(version or 0)


def place_in_message(
    message_id: MessageId, start: int, text: str, *, image: str | None = None
) -> str:
    """``message_id[start:end]``, or ``message_id#image[start:end]`` in a description.

    Args:
        message_id: the message.
        start: where ``text`` begins, in characters.
        text: what is there.
        image: the reference of the image whose description has the text.
    """
    within = "" if image is None else f"#{image}"
    return f"{message_id}{within}[{start}:{start + len(text)}]"


def span_of(place: str) -> tuple[MessageId, slice]:
    """The message and the span in a ``place_in_message``; an empty span if it names none."""
    message_id, _, span = place.rstrip("]").partition("[")
    start, _, end = span.partition(":")
    return MessageId(message_id), slice(int(start or 0), int(end or 0))
