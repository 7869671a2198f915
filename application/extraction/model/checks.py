"""Checks of a model's drafts against the messages; a draft that passes becomes a candidate.

Scope, speaker, time, quotes and attribution are decided here, never by the model. Every refused
draft is reported with a reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from attrs import field, frozen

from remembrancer.application.extraction.model.attribution import (
    Quoted,
    Voices,
    attributed,
    refusal,
    supported,
    vouched,
)
from remembrancer.application.extraction.model.chunking import Piece
from remembrancer.application.extraction.model.dates import span_of
from remembrancer.application.extraction.model.drafts import (
    EvidenceDraft,
    FactDraft,
    Part,
    StepDraft,
)
from remembrancer.application.extraction.model.end_words import ends_something
from remembrancer.application.extraction.model.quote_match import (
    covers,
    find_quote,
    nearest_span,
)
from remembrancer.application.extraction.rules.sentences import split
from remembrancer.application.extraction.rules.tense import Tense, tense_of
from remembrancer.application.prompting.cleaning import cleaned
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.facts.fact import Evidence, FactId, FactKind, Interval, MessageId
from remembrancer.domain.facts.verdicts import Candidate, ProposedRelation, Refusal
from remembrancer.domain.graph.graph import SAME_AS
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.text import name_keys, normalised

MOST_EVIDENCE = 4
MOST_ENTITIES = 16
MOST_RELATIONS = 8
LONGEST_NAME = 100
"""Characters of an entity, a predicate or an attribute."""

CATEGORIES = "categories"
"""The metadata key of a fact's categories, for filters."""

A_DAY = timedelta(days=1)

_GENERIC_USER = ("", "user", "the user")
_GENERIC_AGENT = ("assistant", "the assistant", "agent", "the agent", "ai")
_GENERIC = ("user", "assistant", "agent")


class RefusedDraft(Exception):
    """A draft does not become a candidate; the message is the reason."""

    def __init__(self, code: Refusal, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@frozen(kw_only=True)
class Limits:
    """Limits of an extraction; the fields are explained in ``ExtractionSettings``."""

    facts_per_message: int
    fact_characters: int
    categories: tuple[str, ...] = ()
    agents_speak_for_users: bool = False


@frozen(kw_only=True)
class Checks:
    """The checks of one extraction. It counts the accepted facts of each message."""

    voices: Voices
    limits: Limits
    _counts: Counter[MessageId] = field(factory=Counter)

    def candidate(self, draft: FactDraft, shown: Mapping[int, Piece], ids: IdSource) -> Candidate:
        """A candidate from a draft.

        Args:
            draft: unchecked, from the model.
            shown: the pieces that the prompt showed, by number.
            ids: source of new ids.

        Raises:
            RefusedDraft: without a true quote, too long, over the limit per message, or an
                agent's statement about a user.
        """
        text = self._stated(draft.text)
        evidence = _quoted(draft.evidence, shown, self.voices, fact=text)
        users_words = vouched(evidence, self.voices)
        by_user = users_words or self.limits.agents_speak_for_users
        primary = _primary(evidence, by_user=by_user)
        if not by_user:
            text = self._on_an_agents_word(draft, text, primary)
        if not supported(text, evidence, self.voices, users_words=users_words):
            raise RefusedDraft(Refusal.UNSUPPORTED, "what is quoted does not speak of this")
        self._count(primary)
        named = _named(draft, text, evidence, self.voices)
        kind = _kind(draft, primary, evidence, by_user=by_user)
        slot = None if kind is FactKind.EPISODIC else _slot(draft, text, primary, self.voices)
        valid = _valid(draft, kind, primary.occurred_at, evidence)
        relations = self._relations(draft, text, named, ids, by_user=by_user)
        return Candidate(
            fact_id=FactId(ids.new()),
            scope=primary.scope,
            text=text,
            occurred_at=primary.occurred_at,
            kind=kind,
            metadata={**self.categories(draft.categories), **primary.metadata},
            evidence=tuple(
                Evidence(
                    message_id=item.message.message_id, quote=None if item.whole else item.quote
                )
                for item in evidence
            ),
            speaker=primary.speaker,
            entities=self._allowed(named, by_user=by_user),
            slot=slot,
            valid=valid,
            relations=relations,
            agent_only=not by_user,
            dropped=_dropped(
                draft,
                quote=len(evidence) < len(draft.evidence)
                or not all(item.exact for item in evidence),
                valid_from=span_of(draft.valid_from, primary.occurred_at.tzinfo) is None,
                valid_to=valid.end is None,
                attribute=slot is None,
                relations=len(relations) < len(draft.relations),
            ),
        )

    def line(self, draft: StepDraft, shown: Mapping[int, Piece]) -> tuple[str, tuple[Quoted, ...]]:
        """A checked line of a procedure, and its evidence. Arguments: same as ``candidate``.

        Raises:
            RefusedDraft: without a true quote, too long, not done by an agent, or an agent's
                statement about a user.
        """
        text = self._stated(draft.text)
        evidence = _quoted(draft.evidence, shown, self.voices)
        by_agent = any(item.message.role is Role.ASSISTANT for item in evidence)
        if draft.part is not Part.TASK and not by_agent:
            raise RefusedDraft(Refusal.NOT_DONE, "no agent says that it did this")
        problem = refusal((text,), self.voices)
        by_user = vouched(evidence, self.voices)
        if problem is not None and not by_user and not self.limits.agents_speak_for_users:
            raise RefusedDraft(Refusal.AGENT_ONLY, problem)
        users_words = by_user and problem is not None
        if not supported(text, evidence, self.voices, users_words=users_words):
            raise RefusedDraft(Refusal.UNSUPPORTED, "what is quoted does not speak of this")
        return text, evidence

    def _stated(self, draft: str) -> str:
        text = cleaned(draft)
        if not any(character.isalnum() for character in text):
            raise RefusedDraft(Refusal.EMPTY, "says nothing")
        if len(text) > self.limits.fact_characters:
            raise RefusedDraft(
                Refusal.TOO_LONG, f"is longer than {self.limits.fact_characters} characters"
            )
        return text

    def _on_an_agents_word(self, draft: FactDraft, text: str, primary: Message) -> str:
        if primary.role is Role.USER:
            raise RefusedDraft(Refusal.AGENT_ONLY, "the words quoted say nothing")
        about = draft.about or ""
        told = (text,) if normalised(about) in _GENERIC_AGENT else (text, about)
        problem = refusal(told, self.voices)
        if problem is not None:
            raise RefusedDraft(Refusal.AGENT_ONLY, problem)
        return attributed(text, primary.speaker)

    def _count(self, primary: Message) -> None:
        if self._counts[primary.message_id] >= self.limits.facts_per_message:
            most = self.limits.facts_per_message
            raise RefusedDraft(Refusal.TOO_MANY, f"is beyond {most} facts from one message")
        self._counts[primary.message_id] += 1

    def categories(self, named: Collection[object]) -> Mapping[str, object]:
        """Metadata with the known ones among the categories in ``named``."""
        chosen = [name for name in self.limits.categories if name in named]
        return {CATEGORIES: chosen} if chosen else {}

    def _allowed(self, names: Sequence[str], *, by_user: bool) -> tuple[str, ...]:
        return tuple(name for name in names if by_user or not self.voices.mention_user(name))

    def _relations(
        self,
        draft: FactDraft,
        text: str,
        named: Sequence[str],
        ids: IdSource,
        *,
        by_user: bool,
    ) -> tuple[ProposedRelation, ...]:
        known = {*name_keys((*named, *self.voices.names))}
        known.update((*_GENERIC_USER[1:], *_GENERIC_AGENT) if by_user else _GENERIC_AGENT)
        told = f" {normalised(text)} "
        found: dict[tuple[str, str, str], ProposedRelation] = {}
        for raw in draft.relations:
            subject, predicate, thing = map(cleaned, (raw.subject, raw.predicate, raw.object))
            ends = (normalised(subject), normalised(thing))
            if (
                not all(0 < len(part) <= LONGEST_NAME for part in (subject, predicate, thing))
                or not all(end in known or (end and end in told) for end in ends)
                # A conversation must not merge entities.
                or normalised(predicate).replace(" ", "_") == SAME_AS
                or (not by_user and self.voices.mention_user(f"{subject} {thing}"))
            ):
                continue
            key = (ends[0], normalised(predicate), ends[1])
            if key not in found and len(found) < MOST_RELATIONS:
                found[key] = ProposedRelation(
                    relation_id=ids.new(), subject=subject, predicate=predicate, object=thing
                )
        return tuple(found.values())


def _dropped(draft: FactDraft, **missing: bool) -> tuple[str, ...]:
    """The names of what the draft has and the candidate has not."""
    return tuple(name for name, gone in missing.items() if gone and getattr(draft, name, True))


def _quoted(
    drafts: Sequence[EvidenceDraft],
    shown: Mapping[int, Piece],
    voices: Voices,
    *,
    fact: str | None = None,
) -> tuple[Quoted, ...]:
    """The evidence: the quotes that are in their messages, or else the nearest spans, or else the
    messages themselves.

    Args:
        drafts: as the model gives them.
        shown: the pieces that the prompt showed, by number.
        voices: the speakers.
        fact: what a message of a user must say if nothing of it is quoted; ``None``: it does not
            stand for itself.

    Raises:
        RefusedDraft: there is none.
    """
    if not drafts:
        raise RefusedDraft(Refusal.NO_QUOTE, "quotes nothing")
    cited = [
        (shown[item.message], item) for item in drafts[:MOST_EVIDENCE] if item.message in shown
    ]
    apart = (*voices.names, *_GENERIC)
    found: dict[tuple[MessageId, str], Quoted] = {}
    for match in (find_quote, partial(nearest_span, apart=apart)):
        for piece, item in cited:
            quote = match(item.quote, piece.text)
            if quote is not None:
                found[piece.message.message_id, quote] = Quoted(
                    message=piece.message,
                    quote=quote,
                    place=item.message,
                    exact=match is find_quote,
                )
        if found:
            return tuple(found.values())
    if not cited:
        raise RefusedDraft(Refusal.FOREIGN_MESSAGE, "quotes a message that was not shown")
    for piece, item in cited:
        if fact is not None and _stands_for_itself(piece, item, fact, apart):
            return (
                Quoted(
                    message=piece.message,
                    quote=piece.text,
                    place=item.message,
                    exact=False,
                    whole=True,
                ),
            )
    raise RefusedDraft(Refusal.FORGED_QUOTE, "the words quoted are not in the message")


def _stands_for_itself(
    piece: Piece, item: EvidenceDraft, fact: str, apart: Collection[str]
) -> bool:
    """Whether a message of a user is evidence without a quote: it says the fact."""
    return (
        any(character.isalnum() for character in item.quote)
        and piece.message.role is Role.USER
        and covers(piece.text, fact, apart)
    )


def _primary(evidence: Sequence[Quoted], *, by_user: bool) -> Message:
    """The message that gives the fact its speaker, scope and time."""
    users = [item.message for item in evidence if item.message.role is Role.USER]
    others = [item.message for item in evidence if item.message.role is not Role.USER]
    return [*users, *others][0] if by_user else [*others, *users][0]


def _kind(
    draft: FactDraft, primary: Message, evidence: Sequence[Quoted], *, by_user: bool
) -> FactKind:
    # Only users can instruct the agent.
    if draft.kind is FactKind.PROCEDURAL and not by_user:
        return FactKind.EPISODIC
    ended = span_of(draft.valid_to, primary.occurred_at.tzinfo)
    over = _is_over(ended, primary.occurred_at) and _tells_of_the_past(draft, evidence)
    return FactKind.EPISODIC if over else draft.kind


def _is_over(ended: Interval | None, said_at: datetime) -> bool:
    return ended is not None and ended.end is not None and ended.end <= said_at


def _valid(
    draft: FactDraft, kind: FactKind, said_at: datetime, evidence: Sequence[Quoted]
) -> Interval:
    """The valid interval; without a date it begins when the fact was said.

    A fact that had ended before it was said is episodic and gets no end: it happened, and stays
    true. If such a fact has no beginning, the day of its end is used. What lasts gets no end that
    nobody named, and none within a day: a model that fills in the day of the message would make
    every belief vanish the day after.
    """
    begun, ended = (span_of(text, said_at.tzinfo) for text in (draft.valid_from, draft.valid_to))
    if begun is None and kind is FactKind.EPISODIC and _is_over(ended, said_at):
        begun = ended
    start = begun.start if begun is not None and begun.start is not None else said_at
    end = ended.end if ended is not None and kind is not FactKind.EPISODIC else None
    if end is None or end - max(start, said_at) <= A_DAY or not _is_named(evidence):
        return Interval(start=start)
    return Interval(start=start, end=end)


def _is_named(evidence: Sequence[Quoted]) -> bool:
    """Whether the sentences that are quoted have words that end something."""
    return any(map(ends_something, _sentences(evidence)))


def _tells_of_the_past(draft: FactDraft, evidence: Sequence[Quoted]) -> bool:
    """Whether the sentences that are quoted end something, are in the past, or name the year of the
    end.
    """
    year = (draft.valid_to or "")[:4]
    return any(
        ends_something(sentence)
        or tense_of(sentence) is Tense.PAST
        or (year.isdecimal() and year in sentence)
        for sentence in _sentences(evidence)
    )


def _sentences(evidence: Sequence[Quoted]) -> list[str]:
    """The quotes, and the sentences that hold them."""
    held = [
        sentence
        for item in evidence
        for sentence in split(item.message.text)
        if item.quote in sentence
    ]
    return [*held, *(item.quote for item in evidence)]


def _named(
    draft: FactDraft, text: str, evidence: Sequence[Quoted], voices: Voices
) -> tuple[str, ...]:
    """The subject of the fact, then the entities that the text or the quotes name."""
    told = normalised(" ".join((text, *(item.quote for item in evidence))))
    known = name_keys(voices.names)
    found: dict[str, str] = {}
    for raw in (draft.about or "", *draft.entities):
        name = cleaned(raw)
        folded = normalised(name)
        if not folded or len(name) > LONGEST_NAME or folded in (*_GENERIC_USER, *_GENERIC_AGENT):
            continue
        if folded in known or folded in told:
            found.setdefault(folded, name)
    return tuple(found.values())[:MOST_ENTITIES]


def _slot(draft: FactDraft, text: str, primary: Message, voices: Voices) -> str | None:
    """The slot of the fact, if its attribute can have only one value at a time."""
    words = re.findall(r"[^\W_]+", cleaned(draft.attribute or "").casefold())
    attribute = " ".join(words)
    if not 0 < len(attribute) <= LONGEST_NAME:
        return None
    about = normalised(cleaned(draft.about or ""))
    if about in _GENERIC_USER or about in _GENERIC_AGENT:
        ours = Role.USER if about in _GENERIC_USER else Role.ASSISTANT
        names = voices.users if ours is Role.USER else voices.agents
        if primary.role is ours:
            about = primary.speaker
        elif len(names) == 1:
            [about] = names
        else:
            about = ours.value
    elif about not in normalised(text) and about not in name_keys(voices.names):
        return None
    return f"{normalised(about)}/{attribute}"
