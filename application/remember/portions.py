"""Cut a long extraction into portions, so that no append holds a lock for long.

A portion is appended with its record, and the messages that it does not finish stay pending: what
a crash leaves undone is found and finished by ``Retry``. Answers of models are not cut: asked
again, a model may answer otherwise. Rules make the same candidates again, so that a message of
which a part was settled is continued where it ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import evolve, frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.events import CandidatesSettled, InferenceRecorded
from remembrancer.domain.facts.fact import MessageId
from remembrancer.domain.facts.verdicts import Candidate, Source
from remembrancer.domain.ports.extractor import EXTRACTION, Extraction, skipped_as_json
from remembrancer.domain.recorded import Recorded

MOST_CANDIDATES = 50
"""Candidates per append; each takes a third of a millisecond of the write lock."""

MOST_CHARACTERS = 100_000
"""Characters of the candidates per append, if there are several."""


@frozen(kw_only=True)
class Portion:
    """The part of an extraction that one append settles. ``unfinished``: it ends inside a message,
    which stays pending.
    """

    extraction: Extraction
    unfinished: bool = False


def fits(texts: Sequence[str]) -> bool:
    """Whether candidates with these texts are settled by one append."""
    return len(texts) <= 1 or (
        len(texts) <= MOST_CANDIDATES and sum(map(len, texts)) <= MOST_CHARACTERS
    )


def portions(
    extraction: Extraction, messages: Sequence[Message], before: Sequence[Recorded]
) -> Iterator[Portion]:
    """The portions of an extraction, in order; the extraction as it is if it need not be cut.

    Args:
        extraction: from all pending messages.
        messages: the pending messages.
        before: the events of the request so far.
    """
    repeatable = _is_repeatable(extraction, messages)
    settled = _settled(before, extraction.inferences[0]) if repeatable else 0
    if not repeatable or (not settled and fits([each.text for each in extraction.candidates])):
        yield Portion(extraction=extraction, unfinished=_ends_inside(extraction))
        return
    by_message: dict[MessageId, list[Candidate]] = {}
    for candidate in extraction.candidates[settled:]:
        by_message.setdefault(candidate.evidence[0].message_id, []).append(candidate)
    done: list[MessageId] = []
    held: list[Candidate] = []
    for message in messages:
        own = by_message.get(message.message_id, [])
        if done and not fits([each.text for each in (*held, *own)]):
            yield _portion(extraction, held, done)
            done, held = [], []
        while not fits([each.text for each in own]):
            piece = _longest_fitting(own)
            yield _portion(extraction, own[:piece], [message.message_id], unfinished=True)
            own = own[piece:]
        held += own
        done.append(message.message_id)
    yield _portion(extraction, held, done)


def _ends_inside(extraction: Extraction) -> bool:
    """Whether a candidate comes from a message that stays pending: its answer was cut off."""
    done = {each for inference in extraction.inferences for each in inference.messages}
    return extraction.failure is not None and any(
        item.message_id not in done for each in extraction.candidates for item in each.evidence
    )


def _is_repeatable(extraction: Extraction, messages: Sequence[Message]) -> bool:
    """Whether it is one inference of rules about all messages, in which each candidate cites one
    of them.
    """
    if extraction.failure is not None or extraction.refused or len(extraction.inferences) != 1:
        return False
    inference = extraction.inferences[0]
    ids = [message.message_id for message in messages]
    return (
        not inference.asked
        and inference.purpose == EXTRACTION
        and inference.messages == tuple(ids)
        and {tuple(e.message_id for e in each.evidence) for each in extraction.candidates}
        <= {(message_id,) for message_id in ids}
    )


def _settled(before: Sequence[Recorded], inference: InferenceRecorded) -> int:
    """The candidates of the first pending message that earlier portions settled."""
    pieces = {
        item.event_id
        for item in before
        if isinstance(item.event, InferenceRecorded)
        and item.event.model == inference.model
        and item.event.seen == inference.messages[:1]
        and not item.event.messages
    }
    return sum(
        len(item.event.candidates)
        for item in before
        if isinstance(item.event, CandidatesSettled)
        and not pieces.isdisjoint(item.event.inferences)
    )


def _longest_fitting(candidates: Sequence[Candidate]) -> int:
    length = 0
    for count, candidate in enumerate(candidates[:MOST_CANDIDATES]):
        length += len(candidate.text)
        if count and length > MOST_CHARACTERS:
            return count
    return min(len(candidates), MOST_CANDIDATES)


def _portion(
    extraction: Extraction,
    candidates: Sequence[Candidate],
    messages: Sequence[MessageId],
    *,
    unfinished: bool = False,
) -> Portion:
    done = set() if unfinished else set(messages)
    skipped = tuple(skip for skip in extraction.skipped if skip.message_id in done)
    inference = evolve(
        extraction.inferences[0],
        seen=tuple(messages),
        messages=() if unfinished else tuple(messages),
        output=skipped_as_json(skipped),
    )
    return Portion(
        extraction=evolve(
            extraction,
            candidates=tuple(
                evolve(each, sources=(Source(0, place),)) if each.sources else each
                for place, each in enumerate(candidates)
            ),
            skipped=skipped,
            inferences=(inference,),
        ),
        unfinished=unfinished,
    )
