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
from remembrancer.domain.facts.verdicts import Candidate, Refusal, RefusedItem, Skipped, Source
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.text import normalised

LONGEST_SHOWN = 200
"""Characters of a skipped text that a receipt shows."""

NOTHING = "the model found nothing to remember"


@frozen(kw_only=True)
class Accepted:
    """The results of an extraction so far, in the order of the conversation.

    ``done`` are the messages that need no other try, ``begun`` those of which an answer was cut
    off: its complete items are kept, and they need another. Sources count the ``inferences`` here;
    the one of the answer that is being read comes next.
    """

    candidates: dict[tuple[object, ...], Candidate] = field(factory=dict)
    refused: list[RefusedItem] = field(factory=list)
    skipped: list[Skipped] = field(factory=list)
    inferences: list[InferenceRecorded] = field(factory=list)
    done: set[MessageId] = field(factory=set)
    begun: set[MessageId] = field(factory=set)

    def source(self, item: int) -> Source:
        """The source of an item of the answer that is being read."""
        return Source(inference=len(self.inferences), item=item)

    def refuse(self, item: int, code: Refusal, message: Message, text: str, reason: str) -> None:
        """Refuse an item of the answer that is being read."""
        self.refused.append(RefusedItem(source=self.source(item), code=code))
        self.skipped.append(left_out(message, text, reason))

    def settled(self, *, records: int) -> tuple[tuple[Candidate, ...], tuple[RefusedItem, ...]]:
        """The candidates from messages that are done or begun, and all refused items.

        Args:
            records: how many inferences come before ``inferences`` in the extraction.
        """
        kept: list[Candidate] = []
        refused = list(self.refused)
        for candidate in self.candidates.values():
            if all(item.message_id in self.done | self.begun for item in candidate.evidence):
                kept.append(candidate)
                continue
            refused += [
                RefusedItem(source=source, code=Refusal.UNFINISHED) for source in candidate.sources
            ]

        def moved(source: Source) -> Source:
            return Source(source.inference + records, source.item)

        return (
            tuple(evolve(each, sources=tuple(map(moved, each.sources))) for each in kept),
            tuple(RefusedItem(moved(each.source), each.code) for each in refused),
        )


def accept_facts(
    items: Sequence[object], chunk: Chunk, checks: Checks, ids: IdSource, found: Accepted
) -> None:
    """Check the facts in one answer; add candidates and skipped items to ``found``."""
    shown = dict(enumerate(chunk.pieces, 1))
    fruitful: set[MessageId] = set()
    for place, draft in enumerate(drafts_in(items, FactDraft)):
        if not isinstance(draft, FactDraft):
            message, why = chunk.pieces[0].message, f"malformed: {draft.problem}"
            found.refuse(place, Refusal.MALFORMED, message, draft.text, why)
            continue
        cited = [shown[item.message] for item in draft.evidence if item.message in shown]
        fruitful.update(piece.message.message_id for piece in cited)
        try:
            candidate = checks.candidate(draft, shown, ids)
        except RefusedDraft as refusal:
            message = (cited or chunk.pieces)[0].message
            found.refuse(place, refusal.code, message, draft.text, str(refusal))
            continue
        _keep(evolve(candidate, sources=(found.source(place),)), found)
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
    sources: list[Source] = []
    for place, draft in enumerate(drafts_in(items, StepDraft)):
        if not isinstance(draft, StepDraft):
            message, why = chunk.pieces[0].message, f"malformed: {draft.problem}"
            found.refuse(place, Refusal.MALFORMED, message, draft.text, why)
            continue
        cited = [shown[item.message] for item in draft.evidence if item.message in shown]
        try:
            text, quoted = checks.line(draft, shown)
            _check_room(lines, draft.part, text)
        except RefusedDraft as refusal:
            message = (cited or chunk.pieces)[0].message
            found.refuse(place, refusal.code, message, draft.text, str(refusal))
            continue
        lines[draft.part].append(text)
        sources.append(found.source(place))
        evidence += [Evidence(message_id=q.message.message_id, quote=q.quote) for q in quoted]
    messages = [piece.message for piece in chunk.pieces if not is_description(piece.message)]
    if not lines[Part.STEP]:
        found.refused.extend(RefusedItem(each, Refusal.NO_STEP) for each in sources)
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
    _keep(evolve(candidate, sources=tuple(sources)), found)


def _check_room(lines: Mapping[Part, Sequence[str]], part: Part, text: str) -> None:
    if len(lines[part]) == (MOST_STEPS if part is Part.STEP else 1):
        raise RefusedDraft(Refusal.TOO_MANY, f"is one {part.value} too many")
    if text in lines[part]:
        raise RefusedDraft(Refusal.TWICE, "is told already")


def _keep(candidate: Candidate, found: Accepted) -> None:
    """Add a candidate, or merge its evidence and sources into an equal one."""
    key = (normalised(candidate.text), candidate.speaker, candidate.valid, candidate.scope)
    twin = found.candidates.get(key)
    if twin is None:
        found.candidates[key] = candidate
        return
    evidence: dict[Evidence, None] = dict.fromkeys((*twin.evidence, *candidate.evidence))
    found.candidates[key] = evolve(
        twin, evidence=tuple(evidence), sources=(*twin.sources, *candidate.sources)
    )


def left_out(message: Message, text: str, reason: str) -> Skipped:
    """A skipped text, truncated for the receipt."""
    shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return Skipped(message_id=message.message_id, text=storable(shown), reason=storable(reason))
