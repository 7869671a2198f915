"""The reconciler over a language model, which is called only for possible conflicts.

Rules reaffirm duplicates of active facts. A candidate without similar facts is added. All other
candidates go to the model in one call; facts and candidates have small numbers there, so that the
model can't invent an id. A revision may only use words of the two texts, and must keep the names
and numbers of both; otherwise the candidate is added as a fact of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, field, frozen

from remembrancer.application.extraction.model.drafts import items_of, structured
from remembrancer.application.prompting.cleaning import cleaned
from remembrancer.application.prompting.model_call import ModelCall
from remembrancer.application.prompting.prompt_fence import PromptFence
from remembrancer.application.prompting.prompt_template import prepare
from remembrancer.application.reconciliation.active_facts import ActiveFacts, known_fact
from remembrancer.application.reconciliation.rules import said_before
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from remembrancer.domain.facts.fact import Fact, FactId, FactKind, FactStatus
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal, Refusal
from remembrancer.domain.places import place_of_fact
from remembrancer.domain.ports.language_model import LanguageModel
from remembrancer.domain.ports.reconciler import Reconciliation
from remembrancer.domain.recall.function_words import FUNCTION_WORDS
from remembrancer.domain.text import name_keys

PROMPT = "reconciliation-2"
LONGEST_REASON = 200
"""Characters of a reason that are kept."""

_WORD = re.compile(r"[^\W_]+")
_ALIKE = 4
"""Leading characters that two forms of one word share."""


@frozen(kw_only=True)
class ReconciliationSettings:
    """How a model reconciles.

    A neighbour may conflict with a candidate if its cosine similarity is ``similarity`` or more,
    in [-1, 1], or if it has the same slot or a common entity that is not a speaker. At most
    ``shown`` neighbours per candidate are sent to the model; its answer has at most
    ``max_output_tokens``. With the hashing embedder "lives in Oslo" and "lives in Paris" have a
    similarity of 0.63, two unrelated facts of one person 0.2 to 0.3.
    """

    similarity: float = 0.5
    shown: int = 5
    max_output_tokens: int = 4_096


@frozen(kw_only=True)
class _DecisionDraft:
    """A decision as a model gives it, unchecked."""

    new: int
    decision: str
    known: tuple[int, ...] = ()
    text: str | None = None
    reason: str | None = None


@frozen(kw_only=True)
class _Triage:
    """Proposals decided by rules, and possible conflicts for the model, by candidate index."""

    proposals: dict[int, Proposal] = field(factory=dict)
    rivals: dict[int, list[FactId]] = field(factory=dict)


class ModelReconciler:
    """A ``Reconciler`` over a language model.

    Args:
        model: the language model.
        settings: ``None`` means the defaults.

    Raises:
        InvalidRequest: a number in the settings is too small.
    """

    def __init__(
        self, model: LanguageModel, settings: ReconciliationSettings | None = None
    ) -> None:
        self._model = model
        self._settings = settings or ReconciliationSettings()
        for name in ("shown", "max_output_tokens"):
            value = getattr(self._settings, name)
            if value < 1:
                raise InvalidRequest(f"reconciler.{name}", f"expected 1 or more, got {value}")

    @property
    def description(self) -> Mapping[str, Any]:
        """The model and the settings."""
        return {"name": "model", "model": self._model.model, "settings": asdict(self._settings)}

    @property
    def prompts(self) -> Mapping[str, str]:
        """The digest of the prompt."""
        return {PROMPT: prepare(PROMPT, {}).digest}

    async def reconcile(
        self,
        candidates: Sequence[Candidate],
        neighbours: Sequence[Mapping[FactId, tuple[Fact, float]]],
    ) -> Reconciliation:
        """Make a proposal for every candidate, with at most one call.

        Raises:
            InvalidRequest: the model can't be called, for example because of a wrong API key.
        """
        triage = self._settle(candidates, neighbours)
        if not triage.rivals:
            return Reconciliation(proposals=_in_order(triage.proposals))
        facts: dict[FactId, Fact | Candidate] = {
            fact_id: fact for near in neighbours for fact_id, (fact, _) in near.items()
        }
        facts.update((candidate.fact_id, candidate) for candidate in candidates)
        handles = _Handles.of(triage.rivals, candidates)
        places = {candidate.fact_id: place for place, candidate in enumerate(candidates)}
        question = self._question(handles, facts, places)
        try:
            completion = await self._model.complete(question.prompt)
        except AdapterUnavailable as error:
            return Reconciliation(proposals=(), failure=error)
        except ModelError as error:
            refused = question.refused(self._model, error)
            return Reconciliation(proposals=(), inferences=(refused,), failure=error)
        items = items_of(completion.parsed, "decisions")
        if items is None:
            return Reconciliation(
                proposals=(),
                inferences=(question.answered_in_vain(completion),),
                failure=ModelError(
                    f"{completion.model}: the answer has no list of decisions; it is kept in the "
                    "ledger, and the messages stay pending; call retry"
                ),
            )
        drafts = {draft.new: draft for draft in reversed(list(_drafts_in(items)))}
        if question.was_cut_off(completion) and not handles.candidates.keys() <= drafts.keys():
            return Reconciliation(
                proposals=(),
                inferences=(question.answered_in_vain(completion),),
                failure=ModelError(
                    f"{completion.model}: the list of decisions was cut off; it is kept in the "
                    "ledger, and the messages stay pending; call retry, with a higher "
                    "reconciler.max_output_tokens"
                ),
            )
        for number, index in handles.candidates.items():
            triage.proposals[index] = _proposal(
                drafts.get(number), candidates[index], handles, facts
            )
        return Reconciliation(
            proposals=_in_order(triage.proposals), inferences=(question.answered(completion),)
        )

    def _settle(
        self,
        candidates: Sequence[Candidate],
        neighbours: Sequence[Mapping[FactId, tuple[Fact, float]]],
    ) -> _Triage:
        """Decide by rules where possible; list the possible conflicts of the other candidates."""
        triage, view = _Triage(), ActiveFacts()
        for near in neighbours:
            for fact, _ in near.values():
                if fact.status is FactStatus.ACTIVE and view.item(fact.fact_id) is None:
                    view.put(known_fact(fact))
        speakers = _people(candidates, neighbours)
        for index, (candidate, near) in enumerate(zip(candidates, neighbours, strict=True)):
            said = known_fact(candidate)
            again = said_before(said, view)
            if again is not None:
                triage.proposals[index] = again
                continue
            rivals = self._rivals(candidate, candidates[:index], near, speakers)
            if rivals:
                triage.rivals[index] = rivals
            else:
                triage.proposals[index] = Proposal(
                    decision=Decision.ADD, reason="nothing like it is known"
                )
            view.put(said)
        return triage

    def _rivals(
        self,
        candidate: Candidate,
        earlier: Sequence[Candidate],
        near: Mapping[FactId, tuple[Fact, float]],
        speakers: frozenset[str],
    ) -> list[FactId]:
        """Facts and earlier candidates that may conflict with a candidate, likeliest first."""
        names = name_keys(candidate.entities) - speakers
        found: list[tuple[float, FactId]] = []
        for fact, similarity in near.values():
            if (
                fact.status is not FactStatus.ACTIVE
                or not _comparable(candidate, fact)
                or _are_two_events(candidate, fact)
            ):
                continue
            same_slot = candidate.slot is not None and candidate.slot == fact.slot
            shared = not names.isdisjoint(name_keys(fact.entities))
            if same_slot or shared or similarity >= self._settings.similarity:
                found.append((2.0 if same_slot else similarity, fact.fact_id))
        found.sort(key=lambda pair: -pair[0])
        answers = [
            other.fact_id
            for other in earlier
            if candidate.slot is not None
            and other.slot == candidate.slot
            and _comparable(candidate, other)
        ]
        return [*answers, *(fact_id for _, fact_id in found)][: self._settings.shown]

    def _question(
        self,
        handles: _Handles,
        facts: Mapping[FactId, Fact | Candidate],
        places: Mapping[FactId, int],
    ) -> ModelCall:
        shown: dict[int, Fact | Candidate] = {
            number: facts[fact_id] for number, fact_id in handles.facts.items()
        }
        fence = PromptFence.around(
            text for fact in shown.values() for text in (fact.text, fact.speaker or "")
        )

        def enclosed(numbers: Iterable[int]) -> str:
            return "\n".join(
                fence.enclose(
                    "fact", {"n": number, **_attributes(shown[number])}, shown[number].text
                )
                for number in numbers
            )

        return ModelCall.of(
            "reconciliation",
            prepare(PROMPT, {}),
            {
                "mark": fence.mark,
                "known": enclosed(n for n in shown if n not in handles.candidates),
                "new": enclosed(handles.candidates),
            },
            schema=_SCHEMA,
            max_output_tokens=self._settings.max_output_tokens,
            shown={
                str(number): place_of_fact(fact)
                if isinstance(fact, Fact)
                else f"candidate {places[fact.fact_id]}"
                for number, fact in shown.items()
            },
        )


@frozen(kw_only=True)
class _Handles:
    """Numbers of the facts in the prompt, and which of them are candidates to decide."""

    facts: Mapping[int, FactId]
    candidates: Mapping[int, int]

    @classmethod
    def of(
        cls, rivals: Mapping[int, Sequence[FactId]], candidates: Sequence[Candidate]
    ) -> _Handles:
        """Number the known facts from 1, then the open candidates."""
        open_ids = [candidates[index].fact_id for index in rivals]
        shown = dict.fromkeys(
            fact_id for found in rivals.values() for fact_id in found if fact_id not in open_ids
        )
        first = len(shown) + 1
        return cls(
            facts=dict(enumerate((*shown, *open_ids), 1)),
            candidates=dict(enumerate(rivals, first)),
        )

    def fact_id(self, number: int) -> FactId:
        """The fact with a number; ``judge`` refuses the id of an unknown number."""
        return self.facts.get(number, FactId(f"number {number}"))


def _people(
    candidates: Sequence[Candidate],
    neighbours: Sequence[Mapping[FactId, tuple[Fact, float]]],
) -> frozenset[str]:
    """The speakers: most facts name them, so a common speaker is no sign of a conflict."""
    shown: list[Fact | Candidate] = [fact for near in neighbours for fact, _ in near.values()]
    speakers = [item.speaker for item in [*shown, *candidates] if item.speaker]
    return name_keys([*speakers, "user", "assistant"])


def _comparable(one: Candidate, other: Fact | Candidate) -> bool:
    """Whether ``judge`` allows a candidate to change the other one."""
    return (one.scope.ledger, one.scope.agent_id, one.scope.app_id) == (
        other.scope.ledger,
        other.scope.agent_id,
        other.scope.app_id,
    )


def _are_two_events(one: Candidate, other: Fact) -> bool:
    """Whether both are events of different times: then neither changes the other."""
    return one.kind is other.kind is FactKind.EPISODIC and one.valid.start != other.valid.start


def _attributes(item: Fact | Candidate) -> Mapping[str, object]:
    start, end = item.valid.start, item.valid.end
    return {
        "speaker": item.speaker,
        "said": _day(item.occurred_at),
        "from": _day(start) if start is not None else None,
        "to": _day(end) if end is not None else None,
        "kind": item.kind.value,
    }


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _drafts_in(items: Sequence[object]) -> Iterable[_DecisionDraft]:
    for item in items:
        try:
            yield structured(item, _DecisionDraft)
        except ValueError:
            # The candidate of a malformed decision is added.
            continue


def _proposal(
    draft: _DecisionDraft | None,
    candidate: Candidate,
    handles: _Handles,
    facts: Mapping[FactId, Fact | Candidate],
) -> Proposal:
    decision = draft.decision.strip().lower() if draft is not None else None
    if draft is None or decision not in tuple(Decision):
        return Proposal(
            decision=Decision.ADD,
            reason="the model decided nothing about it",
            refused=Refusal.UNDECIDED,
        )
    reason = cleaned(draft.reason or "")[:LONGEST_REASON]
    targets = [handles.fact_id(number) for number in draft.known]
    if decision == Decision.ADD:
        return Proposal(decision=Decision.ADD, reason=reason)
    target = targets[0] if targets else None
    known = facts.get(target) if target is not None else None
    if decision == Decision.RETRACT and known is not None and says_more(candidate, known):
        decision = Decision.SUPERSEDE
    text = cleaned(draft.text or "")
    if decision == Decision.REVISE and known is not None:
        problem = _problem_of(text, known.text, candidate.text)
        if problem is not None:
            code, why = problem
            return Proposal(decision=Decision.ADD, reason=f"revise refused: {why}", refused=code)
    return Proposal(
        decision=Decision(decision),
        target=target,
        also_ends=tuple(targets[1:]) if decision == Decision.SUPERSEDE else (),
        text=text if decision == Decision.REVISE else None,
        reason=reason,
    )


def says_more(candidate: Candidate, known: Fact | Candidate) -> bool:
    """Whether a fact says more than that a known one is wrong or to be forgotten."""
    names = _words([candidate.speaker or "", known.speaker or "", "user"])
    return bool(_words([candidate.text]) - _words([known.text]) - names - _TAKEN_BACK)


def _words(texts: Iterable[str]) -> set[str]:
    return {
        _stem(word)
        for text in texts
        for word in _WORD.findall(text)
        if word.casefold() not in FUNCTION_WORDS
    }


def _problem_of(text: str, old: str, new: str) -> tuple[Refusal, str] | None:
    """The problem of a revision: a new word or a lost one; ``None`` if there is none."""
    said = [*_WORD.findall(old), *_WORD.findall(new)]
    kept = {_stem(word) for word in _WORD.findall(text)}
    for word in _WORD.findall(text):
        if word.casefold() not in FUNCTION_WORDS and _stem(word) not in map(_stem, said):
            return Refusal.INVENTED_WORD, f"nobody said {word!r}"
    for word in said:
        weighty = word[0].isupper() or word[0].isdigit()
        if weighty and word.casefold() not in FUNCTION_WORDS and _stem(word) not in kept:
            return Refusal.LOST_WORD, f"{word!r} would be lost"
    return None


def _stem(word: str) -> str:
    folded = word.casefold()
    return folded if folded.isdecimal() else folded[:_ALIKE]


_TAKEN_BACK = frozenset(
    _stem(word)
    for word in "not no never don doesn didn isn wasn aren won true untrue wrong false incorrect "
    "mistake mistaken forget forgotten delete deleted remove removed retract retracted withdraw "
    "withdrawn said says told statement memory fact anymore asked asks wants longer".split()
)
"""Words that take something back, and say nothing else."""


def _in_order(proposals: Mapping[int, Proposal]) -> tuple[Proposal, ...]:
    return tuple(proposals[index] for index in sorted(proposals))


_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "decisions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "new": {"type": "integer"},
                    "decision": {"type": "string", "enum": [item.value for item in Decision]},
                    "known": {"type": "array", "items": {"type": "integer"}},
                    "text": {"type": ["string", "null"]},
                    "reason": {"type": "string"},
                },
                "required": ["new", "decision", "known", "text", "reason"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["decisions"],
    "additionalProperties": False,
}
