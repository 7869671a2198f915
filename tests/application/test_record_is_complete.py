"""Nothing that a ledger believes, refuses or forgets is left unexplained: every version of a fact
leads back to a message, every candidate has exactly one outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import psycopg
from attrs import evolve
from hypothesis import HealthCheck, given, settings

from remembrancer.adapters.stores.postgres import store as postgresql
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.sqlite import store as sqlite
from remembrancer.adapters.stores.sqlite.database import SqliteSettings
from remembrancer.application.inline import run_inline
from remembrancer.application.remember.receipt import receipt_of
from remembrancer.domain.events import (
    CandidatesSettled,
    EventId,
    FactAdded,
    FactCorrected,
    FactExpired,
    FactReaffirmed,
    FactRestored,
    FactRetracted,
    FactRevised,
    FactsRivalled,
    FactSuperseded,
    InferenceRecorded,
    MessageObserved,
    Outcome,
    PipelineDescribed,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
)
from remembrancer.domain.facts.verdicts import Decision
from remembrancer.domain.ports.store import Store, StoreNeeds
from remembrancer.domain.recorded import CorrelationId, Recorded
from remembrancer.testing.depth import scaled
from tests.helpers.histories import LEDGER, Call, World, histories, lived

OF_FACTS = (
    FactAdded,
    FactRevised,
    FactReaffirmed,
    FactSuperseded,
    FactRetracted,
    FactRestored,
    FactCorrected,
    FactsRivalled,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
)
_MADE_BY = {
    Decision.ADD: FactAdded,
    Decision.SUPERSEDE: FactAdded,
    Decision.REVISE: FactRevised,
    Decision.REAFFIRM: FactReaffirmed,
    Decision.RETRACT: FactRetracted,
}


def path(item: Recorded, events: dict[EventId, Recorded]) -> Iterator[Recorded]:
    """An event, its cause, the cause of that one, and so on."""
    yield item
    while item.causation_id is not None:
        item = events[item.causation_id]
        yield item


@given(histories)
def test_every_change_of_a_fact_leads_back_to_a_message(history: list[Call]) -> None:
    recorded = lived(history).events()
    events = {item.event_id: item for item in recorded}
    for item in recorded:
        *_, first = path(item, events)
        caused = isinstance(item.event, (*OF_FACTS, InferenceRecorded, CandidatesSettled))
        if caused:
            assert isinstance(first.event, MessageObserved), item.type_name
            assert first.correlation_id == item.correlation_id
        else:
            assert item.causation_id is None
            assert isinstance(item.event, MessageObserved | PipelineDescribed | FactExpired)
        assert all(cause.version < item.version for cause in path(item, events) if cause != item)


@given(histories)
def test_every_candidate_has_exactly_one_outcome(history: list[Call]) -> None:
    for request in requests(lived(history)):
        settled = [item.event for item in request if isinstance(item.event, CandidatesSettled)]
        outcomes = Counter(
            (_MADE_BY[candidate.decision], candidate.fact_id or candidate.target)
            for each in settled
            for candidate in each.candidates
            if candidate.decision is not Decision.IGNORE
        )
        done = Counter(
            (type(item.event), item.event.fact_id)
            for item in request
            if isinstance(item.event, FactAdded | FactRevised | FactReaffirmed | FactRetracted)
            # A reaffirmation may revise metadata and expiry, too.
            and not (isinstance(item.event, FactRevised) and item.event.text is None)
        )
        assert outcomes == done
        # Each item of each answer that was used made a candidate, or was refused with a code
        sources = Counter(
            (each.inferences[source.inference], source.item)
            for each in settled
            for source in (
                *(source for candidate in each.candidates for source in candidate.sources),
                *(refused.source for refused in each.refused),
            )
        )
        told = Counter(
            (item.event_id, place) for item in request for place in range(items_in(item))
        )
        assert sources == told
        # The receipt tells all of it
        if settled:
            verdicts = receipt_of(request, "").verdicts
            assert len(verdicts) == sum(len(each.candidates) for each in settled)


def items_in(item: Recorded) -> int:
    """The facts in the answer of a model to an extraction that was used."""
    event = item.event
    if (
        not isinstance(event, InferenceRecorded)
        or event.purpose != "extraction"
        or not event.asked
        or event.outcome is not Outcome.USED
    ):
        return 0
    return len(msgspec.json.decode(event.output)["facts"])


@given(histories)
def test_every_decision_names_its_pipeline_and_what_it_was_shown(history: list[Call]) -> None:
    recorded = lived(history).events()
    described = {
        item.event.digest for item in recorded if isinstance(item.event, PipelineDescribed)
    }
    messages = {
        item.event.message.message_id
        for item in recorded
        if isinstance(item.event, MessageObserved)
    }
    facts = {item.event.fact_id for item in recorded if isinstance(item.event, FactAdded)}
    assert len(described) <= 1
    for item in recorded:
        event = item.event
        if isinstance(event, InferenceRecorded | CandidatesSettled):
            assert event.pipeline in described
        if isinstance(event, InferenceRecorded) and event.asked:
            assert len(event.request_digest) == 64
            assert set(event.messages) <= set(event.seen) or event.purpose != "extraction"
            for place in event.shown.values():
                name = place.partition("@")[0].partition("[")[0]
                assert name in messages | facts or place.startswith("candidate ")


def test_facts_that_all_candidates_share_are_recorded_once() -> None:
    # Given many messages that are all said twice
    texts = tuple(f"Note {number}." for number in range(30))
    said = Call(
        texts=texts, infer=False, expires=False, moods=(), embedder_down=False, retried=False
    )
    # When they are decided
    events = [item.event for item in lived([said, said]).events()]
    _, again = [event for event in events if isinstance(event, CandidatesSettled)]
    # Then the record grows with their number, not with its square
    assert (len(again.known), again.shared) == (30, 30)
    assert {candidate.neighbours for candidate in again.candidates} == {()}
    assert {candidate.decision for candidate in again.candidates} == {Decision.REAFFIRM}


def requests(here: World) -> list[list[Recorded]]:
    """The events of each request."""
    found: dict[CorrelationId, list[Recorded]] = {}
    for item in here.events():
        found.setdefault(item.correlation_id, []).append(item)
    return list(found.values())


@given(histories)
def test_tables_equal_the_fold_in_memory(history: list[Call]) -> None:
    assert run_inline(lived(history).verify()).faults == ()


def agree(history: Sequence[Call], build: Callable[[StoreNeeds], Store]) -> None:
    """Check that the tables of a store equal the fold of its log after a history."""
    opened: list[Store] = []

    def make_store(needs: StoreNeeds) -> Store:
        opened.append(build(needs))
        return opened[0]

    try:
        here = lived(history, make_store)
        assert run_inline(here.verify()).faults == ()
        assert run_inline(here.log.head(LEDGER)).version == len(here.events())
    finally:
        for store in opened:
            store.close()


@given(histories)
def test_tables_on_sqlite_equal_the_fold(history: list[Call]) -> None:
    with TemporaryDirectory() as folder:
        chosen = SqliteSettings(path=str(Path(folder) / "m.db"))
        agree(history, lambda needs: sqlite.build(chosen, needs))


@settings(max_examples=scaled(5), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories)
def test_tables_on_postgres_equal_the_fold(postgres: PostgresSettings, history: list[Call]) -> None:
    chosen = evolve(postgres, schema=f"{postgres.schema}_x")
    agree(history, lambda needs: postgresql.build(chosen, needs))
    with psycopg.connect(chosen.dsn, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA "{chosen.schema}" CASCADE'.encode())
