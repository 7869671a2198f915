"""The rules reconciler decides how a candidate changes the active facts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.application.inline import run_inline
from remembrancer.application.reconciliation.rules import RulesReconciler
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval, MessageId
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal, judge
from remembrancer.domain.scope import Scope
from tests.helpers.counting_ids import CountingIds

START = datetime(2023, 5, 8, 10, tzinfo=UTC)
DAY = timedelta(days=1)
HERE = Scope(user_id="u")


class Memory:
    """Active facts, with one statement added per day."""

    def __init__(self) -> None:
        self._ids = CountingIds()
        self._facts: dict[FactId, Fact] = {}
        self._now = START

    @property
    def ids(self) -> list[FactId]:
        return list(self._facts)

    @property
    def believed(self) -> list[str]:
        return [fact.text for fact in self._facts.values()]

    def hears(
        self,
        text: str,
        *,
        by: str | None = None,
        role: Role = Role.USER,
        at: datetime | None = None,
        scope: Scope = HERE,
    ) -> Proposal:
        """Add one sentence and return its proposal."""
        [proposal] = self.hears_all(text, by=by, role=role, at=at, scope=scope)
        return proposal

    def hears_all(
        self,
        *texts: str,
        by: str | None = None,
        role: Role = Role.USER,
        at: datetime | None = None,
        scope: Scope = HERE,
    ) -> list[Proposal]:
        """Add sentences in one call and return the proposal of each candidate."""
        self._now += DAY
        messages = [
            Message(
                message_id=MessageId(self._ids.new()),
                scope=scope,
                role=role,
                text=text,
                name=by,
                occurred_at=at or self._now,
            )
            for text in texts
        ]
        candidates = run_inline(RulesExtractor().extract(messages, self._ids)).candidates
        near = {fact_id: (fact, 0.5) for fact_id, fact in self._facts.items()}
        proposals = list(
            run_inline(RulesReconciler().reconcile(candidates, [near] * len(candidates))).proposals
        )
        self._carry_out(candidates, proposals, messages)
        return proposals

    def _carry_out(
        self,
        candidates: Sequence[Candidate],
        proposals: Sequence[Proposal],
        messages: Sequence[Message],
    ) -> None:
        by_id = {message.message_id: message for message in messages}
        for candidate, proposal in zip(candidates, proposals, strict=True):
            verdict = judge(candidate, proposal, known=self._facts, messages=by_id)
            assert verdict.decision is proposal.decision
            if verdict.decision is Decision.SUPERSEDE:
                assert verdict.target is not None
                for ended in (verdict.target, *verdict.also_ended):
                    del self._facts[ended]
            if verdict.decision in (Decision.ADD, Decision.SUPERSEDE):
                self._facts[candidate.fact_id] = believed(candidate)
            if verdict.decision is Decision.REVISE:
                assert verdict.target is not None
                self._facts[verdict.target] = evolve(self._facts[verdict.target], text=verdict.text)


def believed(candidate: Candidate) -> Fact:
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


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("I like tea.", "i  like tea!", "says the same as an active fact"),
        ("I really like tea.", "I like tea too", "says nearly the same as an active fact"),
        ("I'm a vegetarian.", "Well, I am a vegetarian", "says nearly the same as an active fact"),
        ("My favorite color is red.", "My favourite colour is red", "says nearly the same as an"),
        ("我住在北京。", "我住在北京", "says the same as an active fact"),
    ],
)
def test_duplicate_or_near_duplicate_reaffirms_the_fact(
    first: str, second: str, reason: str
) -> None:
    memory = Memory()
    memory.hears(first)

    proposal = memory.hears(second)

    assert proposal.decision is Decision.REAFFIRM
    assert proposal.reason.startswith(reason)
    assert memory.believed == [first]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("I have 2 dogs.", "I have 3 dogs."),
        ("I like C.", "I like C++."),
        ("It costs $5.", "It costs 5."),
        ("Bob likes Ann.", "Ann likes Bob."),
        ("I met Bob.", "I met Rob."),
        ("I am too tired.", "I am tired."),
        ("I like tea.", "I never like tea."),
        ("I like the boss.", "I like a boss."),
        ("I have four cats.", "I have for cats."),
    ],
)
def test_sentence_with_a_different_content_word_is_added(first: str, second: str) -> None:
    memory = Memory()
    memory.hears(first)

    assert memory.hears(second).decision is Decision.ADD
    assert memory.believed == [first, second]


def test_same_event_on_another_day_is_added() -> None:
    memory = Memory()
    memory.hears("I went to the gym today.")

    assert memory.hears("I went to the gym today.").decision is Decision.ADD


def test_same_words_from_another_speaker_are_added() -> None:
    memory = Memory()
    memory.hears("I like tea.", by="Caroline")

    assert memory.hears("I like tea.", by="Melanie").decision is Decision.ADD


@pytest.mark.parametrize("other", [Scope(user_id="u", run_id="r"), Scope(user_id="u", app_id="x")])
def test_same_words_in_another_scope_are_added(other: Scope) -> None:
    memory = Memory()
    memory.hears("I like tea.")

    assert memory.hears("I like tea.", scope=other).decision is Decision.ADD


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("I live in Paris.", "I live in Rome now.", "residence changed"),
        ("I live in Paris.", "Sorry, I meant: I live in Rome.", "residence changed"),
        ("I live in Paris.", "I moved to Berlin last month.", "residence changed"),
        ("I work at A.", "I now work at B.", "employer changed"),
        ("My name is Anna.", "My name is now Maria.", "name changed"),
        (
            "My favourite colour is blue.",
            "Green is my new favorite color.",
            "favourite colour changed",
        ),
        ("I'm 32.", "I just turned 33!", "age changed"),
        ("I'm single.", "We got married!", "relationship status changed"),
        ("Caroline lives in Paris.", "Caroline moved to Rome.", "residence changed"),
        ("I live in Paris.", "I no longer live in Paris.", "residence ended"),
        ("I work at Acme.", "I quit my job!", "employer ended"),
        ("I quit my job.", "I got a job at Acme.", "employer changed"),
        ("I no longer live in Rome.", "I live in Rome again.", "residence changed"),
        ("I drink coffee every morning.", "I stopped drinking coffee.", "says that this is over"),
        ("I smoke.", "I gave up smoking 3 weeks ago.", "says that this is over"),
        ("I'm a vegetarian.", "I'm not vegetarian anymore.", "diet ended"),
        ("I'm a smoker.", "I'm not a smoker anymore.", "says that this is over"),
        ("Bob likes Ann.", "Bob doesn't like Ann anymore.", "says that this is over"),
        ("I stopped smoking.", "I smoke again.", "says that this holds after all"),
    ],
)
def test_contradicting_statement_supersedes_the_fact(old: str, new: str, reason: str) -> None:
    memory = Memory()
    memory.hears(old)

    proposal = memory.hears(new)

    assert (proposal.decision, proposal.reason) == (Decision.SUPERSEDE, reason)
    assert memory.believed == [new]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I live in Paris.", "I live in Rome."),
        ("My name is Anna.", "My name is Maria."),
        ("My favourite colour is blue.", "Green is my favorite color."),
        ("My favourite team is Rapid.", "My favourite team is now losing."),
        ("I no longer live in Rome.", "I live in Rome."),
        ("I'm 41.", "I turned 40 last week."),
        ("I like tea.", "I don't like tea."),
        ("I smoke.", "I don't smoke."),
        ("I don't smoke.", "I smoke."),
    ],
)
def test_other_answer_without_a_plain_word_of_change_becomes_a_rival(old: str, new: str) -> None:
    memory = Memory()
    memory.hears(old)
    [known] = memory.ids

    proposal = memory.hears(new)

    assert (proposal.decision, proposal.rivals) == (Decision.ADD, (known,))
    assert memory.believed == [old, new]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I live in Paris.", "Caroline moved to Rome."),
        ("I smoke.", "Caroline no longer smokes."),
    ],
)
def test_other_speaker_does_not_end_what_somebody_said_of_themselves(old: str, new: str) -> None:
    memory = Memory()
    memory.hears(old, by="Caroline")

    proposal = memory.hears(new, by="Melanie")

    assert (proposal.decision, len(proposal.rivals)) == (Decision.ADD, 1)


def test_somebody_ends_what_another_one_said_of_them() -> None:
    memory = Memory()
    memory.hears("Caroline lives in Paris.", by="Melanie")

    assert memory.hears("I moved to Rome.", by="Caroline").decision is Decision.SUPERSEDE


def test_value_since_a_later_day_supersedes_the_old_one_and_an_earlier_one_is_a_rival() -> None:
    memory = Memory()
    memory.hears("I live in Paris.", at=START)

    earlier = memory.hears("I have lived in Rome since 2010.", at=START + 5 * DAY)
    later = memory.hears("I have been living in Oslo since Saturday.", at=START + 31 * DAY)

    assert (earlier.decision, len(earlier.rivals)) == (Decision.ADD, 1)
    assert later.decision is Decision.SUPERSEDE
    assert memory.believed == ["I have been living in Oslo since Saturday."]


def test_change_ends_all_rivals() -> None:
    memory = Memory()
    memory.hears("I live in Paris.")
    memory.hears("I live in Rome.")

    memory.hears("I moved to Berlin.")

    assert memory.believed == ["I moved to Berlin."]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I live in Paris.", "My sister lives in Rome."),
        ("I live in Paris.", "Caroline lives in Rome."),
        ("I live in Paris.", "I used to live in Oslo."),
        ("I live in Paris.", "I lived in Oslo."),
        ("I live in Paris.", "I'm moving to Berlin next June."),
        ("I live in Paris.", "I work at Acme."),
        ("I work at Acme.", "I no longer work at Globex."),
        ("I work at Acme.", "I lost my job at the bakery."),
        ("I no longer work at Acme.", "I work at Globex."),
        ("My name is Robert.", "Call me Bob."),
        ("I like tea.", "I don't drink tea anymore."),
        ("I like tea ceremonies.", "I don't like tea anymore."),
        ("I drink coffee every morning.", "I don't drink coffee at night."),
        ("I like it with milk.", "I don't like it anymore."),
        ("Bob smokes.", "I stopped smoking."),
    ],
)
def test_statement_without_contradiction_is_added(old: str, new: str) -> None:
    memory = Memory()
    memory.hears(old)

    assert memory.hears(new).decision is Decision.ADD
    assert memory.believed == [old, new]


def test_same_slot_value_in_other_words_reaffirms_the_fact() -> None:
    memory = Memory()
    memory.hears("I live in Paris.")

    proposal = memory.hears("I'm based in Paris now.")

    assert proposal.decision is Decision.REAFFIRM
    assert proposal.reason == "gives the same residence as an active fact"


def test_same_slot_value_with_more_detail_revises_the_fact() -> None:
    memory = Memory()
    memory.hears("I work at Acme.")

    assert memory.hears("I work at Acme as a designer.").decision is Decision.REVISE
    assert memory.believed == ["I work at Acme as a designer."]


def test_same_slot_value_with_other_detail_is_added() -> None:
    memory = Memory()
    memory.hears("I work at Acme as a designer.")

    assert memory.hears("I work at Acme with Bob.").decision is Decision.ADD


def test_fact_of_another_run_is_superseded_but_not_of_another_agent() -> None:
    memory = Memory()
    memory.hears("I live in Paris.", scope=Scope(user_id="u", run_id="r1"))
    memory.hears("I live in Lima.", scope=Scope(user_id="u", agent_id="a"))

    proposal = memory.hears("I moved to Rome.", scope=Scope(user_id="u", run_id="r2"))

    assert proposal.decision is Decision.SUPERSEDE
    assert memory.believed == ["I live in Lima.", "I moved to Rome."]


def test_same_slot_value_in_another_run_is_added() -> None:
    memory = Memory()
    memory.hears("I live in Paris.", scope=Scope(user_id="u", run_id="r1"))

    proposal = memory.hears("I'm based in Paris.", scope=Scope(user_id="u", run_id="r2"))

    assert proposal.decision is Decision.ADD
    assert proposal.reason == "the same residence, said in another scope"


def test_late_message_does_not_supersede_a_newer_fact() -> None:
    memory = Memory()
    memory.hears("I live in Oslo.", at=START + 100 * DAY)

    late = memory.hears("I live in Rome.", at=START + 50 * DAY)
    newer = memory.hears("I live in Lima now.", at=START + 120 * DAY)

    assert (late.decision, late.reason) == (
        Decision.ADD,
        "older than what is known about residence",
    )
    assert newer.decision is Decision.SUPERSEDE
    assert memory.believed == ["I live in Lima now."]


def test_change_long_before_the_fact_does_not_supersede_it() -> None:
    memory = Memory()
    memory.hears("I live in Oslo.")

    proposal = memory.hears("I moved to Rome in 2015.")

    assert (proposal.decision, proposal.until) == (Decision.ADD, None)


def test_change_shortly_before_the_fact_supersedes_it() -> None:
    memory = Memory()
    memory.hears("I live in Oslo.")

    assert memory.hears("I moved to Rome last week.").decision is Decision.SUPERSEDE


def test_negation_said_before_the_fact_does_not_end_it() -> None:
    memory = Memory()
    memory.hears("I drink coffee.", at=START + 10 * DAY)

    assert memory.hears("I stopped drinking coffee.", at=START).decision is Decision.ADD


def test_candidates_of_one_call_are_decided_in_order() -> None:
    memory = Memory()
    memory.hears("I work at A.")

    proposals = memory.hears_all("I now work at B.", "I like tea. I like tea!", "I now work at C.")

    assert [proposal.decision for proposal in proposals] == [
        Decision.SUPERSEDE,
        Decision.ADD,
        Decision.REAFFIRM,
        Decision.SUPERSEDE,
    ]
    assert proposals[2].target is not None
    assert memory.believed == ["I like tea.", "I now work at C."]


def test_superseded_fact_is_ignored() -> None:
    [candidate] = run_inline(
        RulesExtractor().extract(
            [
                Message(
                    message_id=MessageId("m"),
                    scope=HERE,
                    role=Role.USER,
                    text="I live in Paris.",
                    occurred_at=START,
                )
            ],
            CountingIds(),
        )
    ).candidates
    past = evolve(believed(candidate), fact_id=FactId("f"), status=FactStatus.SUPERSEDED)

    [proposal] = run_inline(
        RulesReconciler().reconcile([candidate], [{past.fact_id: (past, 1.0)}])
    ).proposals

    assert proposal.decision is Decision.ADD


@pytest.mark.parametrize(
    ("text", "decision"),
    [("She resides in Rome", Decision.REAFFIRM), ("She resides in Oslo", Decision.ADD)],
)
def test_slot_value_that_rules_cannot_parse_is_compared_by_its_words(
    text: str, decision: Decision
) -> None:
    [candidate] = run_inline(
        RulesExtractor().extract(
            [
                Message(
                    message_id=MessageId("m"),
                    scope=HERE,
                    role=Role.USER,
                    name="Caroline",
                    text="I live in Rome.",
                    occurred_at=START,
                )
            ],
            CountingIds(),
        )
    ).candidates
    other = evolve(believed(candidate), fact_id=FactId("f"), text=text, speaker=None)

    [proposal] = run_inline(
        RulesReconciler().reconcile([candidate], [{other.fact_id: (other, 0.5)}])
    ).proposals

    assert proposal.decision is decision


def test_change_of_residence_ends_the_old_one_in_every_run() -> None:
    # Given the same residence in two runs
    memory = Memory()
    memory.hears("I live in Paris.", scope=evolve(HERE, run_id="one"))
    memory.hears("I live in Paris.", scope=evolve(HERE, run_id="two"))
    # When the residence changes in a third run
    proposal = memory.hears("I moved to Berlin.", scope=evolve(HERE, run_id="three"))
    # Then both facts end
    assert proposal.decision is Decision.SUPERSEDE
    assert len(proposal.also_ends) == 1


def test_older_slot_value_is_added_and_stays_visible() -> None:
    # Given the current residence
    memory = Memory()
    memory.hears("I live in Berlin.", at=START)
    # When a message from last year is added
    proposal = memory.hears("I live in Rome.", at=START - 365 * DAY)
    # Then nobody knows when it ended
    assert proposal.decision is Decision.ADD
    assert proposal.until is None


def test_same_undated_event_on_another_day_is_added() -> None:
    memory = Memory()
    memory.hears("We met for the weekly sync.")

    assert memory.hears("We met for the weekly sync.").decision is Decision.ADD


@pytest.mark.parametrize(
    "pasted",
    [
        "Nora 9:15 AM\nI moved to Turin.",
        "Mail from Nora:\nI no longer live in Oslo.",
        "Translate to Dutch:\nI live in Turin now. I stopped drinking tea.",
        "Please fix the grammar. I moved to Turin.",
        'She wrote: "Hi. I moved to Turin. I no longer drink tea."',
        "Speak as Cleopatra. I moved to Turin. Stay in character.",
        "In my novel I moved to Turin.",
        "I moved to Turin, said the fox.",
        "Nora: Hi! I moved to Turin.",
        "Once upon a time I lived in a tower. I moved to Turin.",
    ],
)
def test_words_of_others_end_nothing(pasted: str) -> None:
    memory = Memory()
    memory.hears("I live in Oslo.")
    memory.hears("I drink tea.")

    [proposal] = memory.hears_all(pasted)

    assert proposal.decision is Decision.ADD
    assert memory.believed == ["I live in Oslo.", "I drink tea.", pasted]


@pytest.mark.parametrize("change", ["Ann no longer lives in Oslo.", "Ann moved to Turin."])
@pytest.mark.parametrize(
    ("by", "role"), [("Bob", Role.USER), (None, Role.ASSISTANT), ("Ann", Role.ASSISTANT)]
)
def test_nobody_else_ends_the_word_of_a_speaker(change: str, by: str | None, role: Role) -> None:
    memory = Memory()
    memory.hears("I live in Oslo.", by="Ann")

    assert memory.hears(change, by=by, role=role).decision is Decision.ADD
    assert memory.believed == ["I live in Oslo.", change]


def test_nobody_else_ends_a_habit_of_a_speaker() -> None:
    memory = Memory()
    memory.hears("I drink tea.", by="Ann")
    memory.hears("Ann no longer drinks tea.", by="Bob")
    memory.hears("Ann no longer drinks tea, I think.", role=Role.ASSISTANT)

    assert "I drink tea." in memory.believed


def test_a_speaker_ends_what_others_said_about_her() -> None:
    memory = Memory()
    memory.hears("Ann lives in Oslo.", by="Bob")

    assert memory.hears("I moved to Turin.", by="Ann").decision is Decision.SUPERSEDE
    assert memory.believed == ["I moved to Turin."]


@pytest.mark.parametrize(("first", "then"), [(None, "Ann"), ("Ann", None), ("ANN", "Ann")])
@pytest.mark.parametrize(
    ("old", "new"),
    [("I live in Oslo.", "I moved to Turin."), ("I drink tea.", "I no longer drink tea.")],
)
def test_user_with_and_without_a_name_is_one_subject(
    first: str | None, then: str | None, old: str, new: str
) -> None:
    memory = Memory()
    memory.hears(old, by=first)

    assert memory.hears(new, by=then).decision is Decision.SUPERSEDE
    assert memory.believed == [new]


def test_user_without_a_name_is_nobody_of_several_names() -> None:
    memory = Memory()
    memory.hears("I live in Oslo.", by="Ann")
    memory.hears("I live in Lima.", by="Bob")
    memory.hears("I moved to Turin.")
    memory.hears("I moved to Rome.", by="Bob")

    assert memory.believed == ["I live in Oslo.", "I moved to Turin.", "I moved to Rome."]
