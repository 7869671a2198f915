"""Accept or skip each draft in a model's answer; a skipped draft has a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, field, frozen

from remembrancer.application.extraction.model.checks import Checks, RefusedDraft
from remembrancer.application.extraction.model.chunking import Chunk
from remembrancer.application.extraction.model.drafts import FactDraft, Part, StepDraft, drafts_in
from remembrancer.application.extraction.model.image_description import is_description
from remembrancer.application.extraction.procedure import MOST_STEPS, Procedure, candidate_of
from remembrancer.application.prompting.cleaning import storable
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.facts.fact import Evidence, MessageId, Metadata
from remembrancer.domain.facts.verdicts import Candidate, Skipped
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.text import normalised

LONGEST_SHOWN = 200
"""Characters of a skipped text that a receipt shows."""

NOTHING = "the model found nothing to remember"


@frozen(kw_only=True)
class Accepted:
    """The results of an extraction so far, in the order of the conversation.

    ``done`` are the messages that need no other try.
    """

    candidates: dict[tuple[object, ...], Candidate] = field(factory=dict)
    skipped: list[Skipped] = field(factory=list)
    inferences: list[InferenceRecorded] = field(factory=list)
    done: set[MessageId] = field(factory=set)


def accept_facts(
    items: Sequence[object], chunk: Chunk, checks: Checks, ids: IdSource, found: Accepted
) -> None:
    """Check the facts in one answer; add candidates and skipped items to ``found``."""
    shown = dict(enumerate(chunk.pieces, 1))
    fruitful: set[MessageId] = set()
    for draft in drafts_in(items, FactDraft):
        if not isinstance(draft, FactDraft):
            message = chunk.pieces[0].message
            found.skipped.append(left_out(message, draft.text, f"malformed: {draft.problem}"))
            continue
        cited = [shown[item.message] for item in draft.evidence if item.message in shown]
        fruitful.update(piece.message.message_id for piece in cited)
        try:
            _keep(checks.candidate(draft, shown, ids), found)
        except RefusedDraft as refusal:
            message = (cited or chunk.pieces)[0].message
            found.skipped.append(left_out(message, draft.text, str(refusal)))
    for piece in chunk.pieces:
        if piece.message.message_id not in fruitful:
            found.skipped.append(left_out(piece.message, piece.text, NOTHING))


def accept_steps(
    items: Sequence[object],
    chunk: Chunk,
    checks: Checks,
    ids: IdSource,
    found: Accepted,
    categories: Metadata,
) -> None:
    """Check the lines in one answer; add one procedure of the accepted lines to ``found``."""
    shown = dict(enumerate(chunk.pieces, 1))
    lines: dict[Part, list[str]] = {part: [] for part in Part}
    evidence: list[Evidence] = []
    for draft in drafts_in(items, StepDraft):
        if not isinstance(draft, StepDraft):
            message = chunk.pieces[0].message
            found.skipped.append(left_out(message, draft.text, f"malformed: {draft.problem}"))
            continue
        cited = [shown[item.message] for item in draft.evidence if item.message in shown]
        try:
            text, quoted = checks.line(draft, shown)
            _check_room(lines, draft.part, text)
        except RefusedDraft as refusal:
            message = (cited or chunk.pieces)[0].message
            found.skipped.append(left_out(message, draft.text, str(refusal)))
            continue
        lines[draft.part].append(text)
        evidence += [Evidence(message_id=q.message.message_id, quote=q.quote) for q in quoted]
    messages = [piece.message for piece in chunk.pieces if not is_description(piece.message)]
    if not lines[Part.STEP]:
        for message in messages:
            found.skipped.append(left_out(message, message.text, "the model found no step in it"))
        return
    task, outcome = (next(iter(lines[part]), None) for part in (Part.TASK, Part.OUTCOME))
    procedure = Procedure(task=task, steps=tuple(lines[Part.STEP]), outcome=outcome)
    candidate = candidate_of(
        procedure,
        messages,
        fact_id=ids.new(),
        evidence=evidence,
        names=checks.voices.names,
        metadata=categories,
    )
    _keep(candidate, found)


def _check_room(lines: Mapping[Part, Sequence[str]], part: Part, text: str) -> None:
    if len(lines[part]) == (MOST_STEPS if part is Part.STEP else 1):
        raise RefusedDraft(f"is one {part.value} too many")
    if text in lines[part]:
        raise RefusedDraft("is told already")


def _keep(candidate: Candidate, found: Accepted) -> None:
    """Add a candidate, or merge its evidence into an equal one."""
    key = (normalised(candidate.text), candidate.speaker, candidate.valid, candidate.scope)
    twin = found.candidates.get(key)
    if twin is None:
        found.candidates[key] = candidate
        return
    evidence: dict[Evidence, None] = dict.fromkeys((*twin.evidence, *candidate.evidence))
    found.candidates[key] = evolve(twin, evidence=tuple(evidence))


def left_out(message: Message, text: str, reason: str) -> Skipped:
    """A skipped text, truncated for the receipt."""
    shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return Skipped(message_id=message.message_id, text=storable(shown), reason=storable(reason))
