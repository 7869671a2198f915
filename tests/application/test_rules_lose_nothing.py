"""Extraction by rules accounts for every sentence and quotes exactly, for any messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.application.extraction.rules.passages import is_own
from remembrancer.application.inline import run_inline
from remembrancer.application.reconciliation.rules import RulesReconciler
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval, MessageId
from remembrancer.domain.facts.verdicts import Candidate, Decision, judge
from remembrancer.domain.ports.extractor import Extraction
from remembrancer.domain.scope import Scope
from tests.helpers.counting_ids import CountingIds

SAID = """\
I live in Paris.
I live in Rome now!
I moved to Oslo last month.
I no longer live in Rome.
I work at Acme
I quit my job!
My name is Anna and I work at Globex.
Caroline lives in Rome.
My favourite colour is blue.
Blue is my favourite colour
Call me Al.
I'm moving to Lima next June
I went to the gym yesterday.
I like tea.
I don't like tea.
I really like tea
I drink coffee every day.
I stopped drinking coffee.
I have 2 dogs
I have 3 dogs
Dr. Lee is 3.5 m tall.
Thanks!
Hey Mel!
How are you?
我住在北京。
- a list
1. a list
...
😀""".splitlines()
OTHERS = """\
Translate to German: I live in Rome.
Nora wrote: "Hi. I moved to Rome. Bye."
Nora: I no longer drink coffee. I quit.
Bob 3:45 PM
Act as Napoleon. Stay in character.
How do I say this in Dutch?
In my dream I lived in Rome.
“我搬到了罗马。我很高兴。”""".splitlines()
CODE = "```\ncode. here\n```"

pieces = st.one_of(
    st.sampled_from([*SAID, *OTHERS, CODE]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
)
texts = st.builds(
    str.join, st.sampled_from([" ", "\n"]), st.lists(pieces, min_size=1, max_size=8)
).filter(lambda text: bool(text.strip()))
moments = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001
    max_value=datetime(2060, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
messages = st.builds(
    Message,
    message_id=st.uuids().map(lambda value: MessageId(value.hex)),
    scope=st.sampled_from(
        [Scope(user_id="u"), Scope(user_id="u", run_id="r"), Scope(user_id="u", agent_id="a")]
    ),
    role=st.sampled_from(Role),
    text=texts,
    name=st.sampled_from([None, "Caroline", "Melanie"]),
    occurred_at=moments,
)
conversations = st.lists(messages, min_size=1, max_size=5, unique_by=lambda m: m.message_id)

_MARKER = re.compile(r"^\s*\d{1,3}[.)]\s", re.MULTILINE)
_JOINT = re.compile(r"\b(?:and|but|so|plus)\b", re.IGNORECASE)


def unlisted(text: str) -> str:
    """A text without list numbers."""
    return _MARKER.sub(" ", "\n".join(text.splitlines()))


def letters(text: str) -> list[str]:
    """The sorted letters and digits, without words that join clauses."""
    return sorted(filter(str.isalnum, _JOINT.sub(" ", text)))


def extract(conversation: list[Message]) -> Extraction:
    return run_inline(RulesExtractor().extract(conversation, CountingIds()))


def fact_of(candidate: Candidate) -> Fact:
    return Fact(
        fact_id=candidate.fact_id,
        version=1,
        scope=candidate.scope,
        text=candidate.text,
        kind=candidate.kind,
        evidence=candidate.evidence,
        speaker=candidate.speaker,
        slot=candidate.slot,
        occurred_at=candidate.occurred_at,
        created_at=candidate.occurred_at,
        valid=candidate.valid,
        recorded=Interval(start=candidate.occurred_at),
    )


@given(conversations)
def test_every_sentence_is_a_candidate_or_skipped(conversation: list[Message]) -> None:
    found = extract(conversation)

    for message in conversation:
        told = [
            item.text
            for item in found.candidates
            if item.evidence[0].message_id == message.message_id
        ]
        left_out = [i.text for i in found.skipped if i.message_id == message.message_id]
        texts = [*told, *left_out]
        assert all(text in message.text for text in texts)
        # Text of others keeps its list numbers.
        kept = "\n".join(text if is_own(text) else unlisted(text) for text in texts)
        assert letters(kept) == letters(unlisted(message.text))


@given(conversations)
def test_every_candidate_quotes_its_message_exactly(conversation: list[Message]) -> None:
    found = extract(conversation)

    texts_by_id = {message.message_id: message.text for message in conversation}
    for candidate in found.candidates:
        [evidence] = candidate.evidence
        assert evidence.quote == candidate.text
        assert candidate.text in texts_by_id[evidence.message_id]
        assert candidate.valid.start is not None
    assert found.inferences[0].messages == tuple(message.message_id for message in conversation)


@given(conversations)
def test_extraction_is_deterministic(conversation: list[Message]) -> None:
    assert extract(conversation) == extract(conversation)


@given(st.lists(conversations, min_size=1, max_size=3))
def test_every_proposal_is_accepted_unchanged(sessions: list[list[Message]]) -> None:
    active: dict[FactId, Fact] = {}
    ids = CountingIds()
    for session in sessions:
        candidates = run_inline(RulesExtractor().extract(session, ids)).candidates
        near = {fact_id: (fact, 0.5) for fact_id, fact in active.items()}

        proposals = run_inline(
            RulesReconciler().reconcile(candidates, [near] * len(candidates))
        ).proposals

        assert len(proposals) == len(candidates)
        by_id = {message.message_id: message for message in session}
        for candidate, proposal in zip(candidates, proposals, strict=True):
            verdict = judge(candidate, proposal, known=active, messages=by_id)
            assert verdict.decision is proposal.decision
            assert proposal.reason
            if proposal.decision is Decision.SUPERSEDE and proposal.target is not None:
                assert active[proposal.target].status is FactStatus.ACTIVE
                del active[proposal.target]
            if proposal.decision in (Decision.ADD, Decision.SUPERSEDE):
                active[candidate.fact_id] = fact_of(candidate)


@given(conversations)
def test_repeated_statements_are_reaffirmed(conversation: list[Message]) -> None:
    candidates = extract(conversation).candidates
    first = run_inline(RulesReconciler().reconcile(candidates, [{}] * len(candidates))).proposals
    added = [
        candidate
        for candidate, proposal in zip(candidates, first, strict=True)
        if proposal.decision is Decision.ADD and candidate.slot is None
    ]
    near = {item.fact_id: (fact_of(item), 0.5) for item in added}

    again = run_inline(RulesReconciler().reconcile(added, [near] * len(added))).proposals

    assert all(proposal.decision is Decision.REAFFIRM for proposal in again)
