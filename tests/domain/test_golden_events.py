"""Every schema version of every event is still read with the same meaning.

The files in ``golden_events`` hold payloads as they are stored in databases. They are never
edited: a new schema version gets a new file, and the older files stay.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import evolve

from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import (
    EVENT_TYPES,
    CandidatesSettled,
    CheckpointSealed,
    Event,
    EventId,
    FactAdded,
    FactCorrected,
    FactErased,
    FactExpired,
    FactReaffirmed,
    FactRestored,
    FactRetracted,
    FactRevised,
    FactsRivalled,
    FactSuperseded,
    FactUnblocked,
    FeedbackGiven,
    InferenceRecorded,
    LedgerErased,
    MessageObserved,
    Neighbour,
    Outcome,
    PipelineDescribed,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
    SettledCandidate,
    StatementMade,
)
from remembrancer.domain.facts.fact import (
    Evidence,
    FactId,
    FactKind,
    FactStatus,
    Interval,
    MessageId,
    Statement,
)
from remembrancer.domain.facts.verdicts import Decision, Refusal, RefusedItem, Source
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.image import Image
from remembrancer.domain.scope import LedgerId, Scope

GOLDEN = Path(__file__).parent / "golden_events"

NOON = datetime(2024, 5, 3, 12, 0, tzinfo=UTC)
LATER = datetime(2024, 5, 3, 12, 0, 0, 1, tzinfo=UTC)
FACT, OTHER = FactId("01a208d1afd574d08807555a16eba0ed"), FactId("01a208d1afd67456852a68455f7516f2")
MESSAGE = MessageId("01a208d1afc472e99ab6e7250a3c65a3")
SCOPE = Scope(user_id="alice", agent_id="coach", run_id="r-1", app_id="app")

LIVES = Statement(subject="Zoë", predicate="lives in", value="Zürich")
EVENT = EventId("01a208d1afd67456852a68455f7516f4")
SPANS = (Interval(start=NOON, end=LATER), Interval(start=LATER))

OBSERVED = MessageObserved(
    message=Message(
        message_id=MESSAGE,
        scope=SCOPE,
        role=Role.ASSISTANT,
        text='Line one\nsays "ünïcode" 😀 \\ \u2028 \x07',
        name="Zoë",
        occurred_at=LATER,
        metadata={"nested": {"list": [1, 2.5, None, True, "ü"]}, "big": 2**63 - 1},
    ),
    extract=False,
    verbatim=True,
    metadata={"topic": "tea"},
    expires_at=LATER,
)
INFERRED = InferenceRecorded(
    purpose="extraction",
    model="rules-1",
    prompt_digest="sha256:0",
    pipeline="0" * 32,
    request_digest="1" * 64,
    shown={"1": f"{MESSAGE}[0:8]", "2": f"{FACT}@3"},
    seen=(MESSAGE,),
    outcome=Outcome.LOST,
    parameters={"temperature": 0.1, "stop": ["\n"]},
    output='[{"message_id": "x"}]',
    input_tokens=100,
    output_tokens=20,
    latency=0.25,
    messages=(MESSAGE,),
)

EXPECTED: dict[tuple[str, int], Event] = {
    ("message.observed", 1): evolve(
        OBSERVED,
        message=evolve(
            OBSERVED.message,
            images=(
                Image(
                    reference=f"sha256:{'0f' * 32}",
                    media_type="image/png",
                    size=4,
                    data="iVBORw==",
                    description='A "red" bicycle',
                ),
                Image(reference="https://example.org/a.png?x=ü"),
            ),
        ),
        guidance=Guidance(
            instructions="In metric units.",
            include=("sleep",),
            exclude=("politics",),
            categories=("food", "health"),
        ),
        kind=FactKind.PROCEDURAL,
    ),
    ("inference.recorded", 1): evolve(INFERRED, cost=0.0125),
    ("statement.made", 1): StatementMade(
        scope=SCOPE,
        statement=LIVES,
        text="Zoë lives in Zürich 🏔",
        occurred_at=LATER,
        valid=Interval(start=NOON, end=LATER),
        single=False,
        metadata={"topic": "home"},
        reason="from the registry",
    ),
    ("pipeline.described", 1): PipelineDescribed(
        digest="0" * 32,
        software="remembrancer 0.1.0",
        extractor={"name": "model", "settings": {"chunk_tokens": 3000}},
        reconciler={"name": "rules-1"},
        embedder={"model": "m", "dimension": 8},
        prompts={"extraction-2": "ab"},
        libraries={"python": "3.11.7"},
    ),
    ("candidates.settled", 1): CandidatesSettled(
        pipeline="0" * 32,
        decided_at=LATER,
        embedded=True,
        inferences=(EVENT,),
        reconciled_by=EVENT,
        known=(f"{FACT}@3",),
        shared=1,
        candidates=(
            SettledCandidate(
                decision=Decision.SUPERSEDE,
                sources=(Source(0, 1), Source(0, 2)),
                fact_id=OTHER,
                target=FACT,
                also_ended=(FACT,),
                refused=Refusal.NOTHING_NEW,
                dropped=("valid_to",),
                quotes=(f"{MESSAGE}[0:4]",),
                neighbours=(Neighbour(0, 0.5),),
            ),
        ),
        refused=(RefusedItem(Source(0, 0), Refusal.FORGED_QUOTE),),
    ),
    ("fact.restored", 1): FactRestored(
        fact_id=FACT,
        to_version=2,
        status=FactStatus.SUPERSEDED,
        entities=("Zoë",),
        valid=Interval(start=NOON),
        interruptions=(Interval(start=NOON, end=LATER),),
        expires_at=LATER,
        reason="undone",
    ),
    ("fact.corrected", 1): FactCorrected(
        fact_id=FACT,
        version=2,
        text="Zoë lived in Zürich",
        statement=LIVES,
        entities=("Zürich",),
        valid=SPANS,
        told=Interval(start=NOON),
        status=FactStatus.SUPERSEDED,
        superseded_by=OTHER,
        reason="a stay in between",
    ),
    ("facts.rivalled", 1): FactsRivalled(
        one=FACT, other=OTHER, slot="zoë/residence", reason="no word of change"
    ),
    ("relation.reopened", 1): RelationReopened(
        relation_id="01a208d1afd67456852a68455f7516f3",
        object="Zürich",
        valid=Interval(start=NOON),
        interruptions=(Interval(start=NOON, end=NOON),),
        expires_at=NOON,
        reason="undone",
    ),
    ("fact.added", 1): FactAdded(
        fact_id=FACT,
        scope=SCOPE,
        text="Zoë lives in Zürich 🏔",
        kind=FactKind.EPISODIC,
        metadata={"topic": "home", "score": -0.5},
        evidence=(Evidence(message_id=MESSAGE, quote="Zürich"), Evidence(message_id=MESSAGE)),
        speaker="Zoë",
        entities=("Zoë", "Zürich"),
        slot="zoë/residence",
        statement=LIVES,
        occurred_at=LATER,
        valid=Interval(start=NOON, end=LATER),
        expires_at=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        reason="says something new",
    ),
    ("fact.revised", 1): FactRevised(
        fact_id=FACT,
        text="Zoë lives in Zürich, Switzerland",
        metadata={"topic": "home"},
        evidence=(Evidence(message_id=MESSAGE, quote="Switzerland"),),
        expires_at=LATER,
        entities=("Switzerland",),
        reason="tells more",
    ),
    ("fact.superseded", 1): FactSuperseded(
        fact_id=FACT, by=OTHER, ended_at=LATER, reason="residence changed"
    ),
    ("fact.reaffirmed", 1): FactReaffirmed(
        fact_id=FACT, evidence=(Evidence(message_id=MESSAGE),), reason="said again"
    ),
    ("fact.retracted", 1): FactRetracted(fact_id=FACT, block=True, reason="wrong"),
    ("fact.unblocked", 1): FactUnblocked(fact_id=FACT, reason="said anew"),
    ("fact.expired", 1): FactExpired(fact_id=FACT),
    ("relation.asserted", 1): RelationAsserted(
        relation_id="01a208d1afd67456852a68455f7516f3",
        scope=SCOPE,
        subject="Zoë",
        predicate="lives in",
        object="Zürich",
        fact_id=FACT,
        valid=Interval(start=NOON),
    ),
    ("relation.ended", 1): RelationEnded(
        relation_id="01a208d1afd67456852a68455f7516f3", ended_at=LATER, reason="moved"
    ),
    ("feedback.given", 1): FeedbackGiven(fact_id=FACT, score=-1, comment="not true"),
    ("fact.erased", 1): FactErased(fact_id=FACT, versions=(1, 3), reason="asked for"),
    ("ledger.erased", 1): LedgerErased(reason="asked for"),
    ("checkpoint.sealed", 1): CheckpointSealed(
        origin="example.org/log", size=42, root="cm9vdA==", signature="c2ln"
    ),
}
"""The event that each file decodes to. No field has its default, so that none can be forgotten."""

CURRENT = [(each.type_name, each.schema_version) for each in EVENT_TYPES]


def file_of(type_name: str, schema_version: int) -> Path:
    return GOLDEN / f"{type_name}.{schema_version}.json"


def golden(type_name: str, schema_version: int) -> bytes:
    """The stored bytes."""
    held: dict[str, Any] = json.loads(file_of(type_name, schema_version).read_text("utf-8"))
    assert (held["type"], held["schema_version"]) == (type_name, schema_version)
    payload: str = held["payload"]
    return payload.encode()


@pytest.mark.parametrize(("type_name", "schema_version"), CURRENT)
def test_every_schema_version_has_a_golden_file(type_name: str, schema_version: int) -> None:
    missing = [
        version
        for version in range(1, schema_version + 1)
        if not file_of(type_name, version).exists() or (type_name, version) not in EXPECTED
    ]
    assert missing == []


@pytest.mark.parametrize(("type_name", "schema_version"), sorted(EXPECTED))
def test_golden_file_decodes_to_the_expected_event(type_name: str, schema_version: int) -> None:
    payload = golden(type_name, schema_version)
    event = EventCodec().decode(
        payload, type_name, schema_version, 1, LedgerId("user:ann"), EventId("0" * 32)
    )
    assert event == EXPECTED[type_name, schema_version]


@pytest.mark.parametrize(("type_name", "schema_version"), CURRENT)
def test_encoded_event_equals_the_golden_file(type_name: str, schema_version: int) -> None:
    # A field that is renamed or left out needs a new schema version, not a new golden file
    event = EXPECTED[type_name, schema_version]
    assert json.loads(EventCodec().encode(event)) == json.loads(golden(type_name, schema_version))


@pytest.mark.parametrize(("type_name", "schema_version"), CURRENT)
def test_golden_event_has_no_default_values(type_name: str, schema_version: int) -> None:
    event = EXPECTED[type_name, schema_version]
    for field in attrs.fields(type(event)):
        default = field.default
        value = default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
        assert getattr(event, field.name) != value, field.name


def test_every_golden_file_is_decoded() -> None:
    files = {path.name for path in GOLDEN.iterdir()}
    assert files == {file_of(*key).name for key in EXPECTED}
    assert {type(event) for event in EXPECTED.values()} == set(EVENT_TYPES)
