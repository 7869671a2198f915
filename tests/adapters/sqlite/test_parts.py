"""A large ledger is folded in parts: together they are the fold of the whole."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.stores.sqlite.inspection import parts
from remembrancer.adapters.stores.sqlite.inspection.parts import Outline, Part, PartFold
from remembrancer.domain.audit.faults import Findings
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import Event, FactsRivalled, InferenceRecorded, MessageObserved
from remembrancer.domain.facts.evolve import fold
from remembrancer.domain.facts.fact import MessageId
from remembrancer.domain.graph.link_history import Links
from remembrancer.domain.recorded import CorrelationId, Handle, Position, Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.graph_histories import NOON, events, fact_ids, scopes

LEDGER = LedgerId("user:alice")
message_ids = st.sampled_from("mnopq").map(MessageId)
messages = st.builds(
    Message,
    message_id=message_ids,
    scope=scopes,
    role=st.just(Role.USER),
    text=st.just("text"),
    occurred_at=st.integers(0, 100).map(lambda minutes: NOON + timedelta(minutes=minutes)),
)
everything = st.one_of(
    *[events] * 3,
    *[st.builds(FactsRivalled, one=fact_ids, other=fact_ids, slot=st.just("a/b"))] * 2,
    *[st.builds(MessageObserved, message=messages, extract=st.booleans())] * 2,
    st.builds(
        InferenceRecorded,
        purpose=st.sampled_from(["extraction", "reconciliation"]),
        model=st.just("m"),
        prompt_digest=st.just("p"),
        output=st.just("{}"),
        latency=st.just(0.1),
        messages=st.lists(message_ids, max_size=3).map(tuple),
    ),
)


def recorded(each: list[Event]) -> list[Recorded]:
    return [
        Recorded(
            position=Position(3 * version),
            ledger=LEDGER,
            handle=Handle("00" * 16),
            version=version,
            event_id=f"{version:032x}",  # type: ignore[arg-type]
            recorded_at=NOON + timedelta(hours=version),
            correlation_id=CorrelationId("00" * 16),
            causation_id=None,
            actor="test",
            type_name=event.type_name,
            schema_version=event.schema_version,
            event=event,
            payload=b"{}",
            salt=b"",
            payload_digest=b"",
            previous_hash=b"",
            hash=b"",
        )
        for version, event in enumerate(each, 1)
    ]


def in_parts(items: list[Recorded], size: int) -> list[tuple[Part, PartFold]]:
    def message_at(version: int) -> Message | None:
        event = items[version - 1].event
        return event.message if isinstance(event, MessageObserved) else None

    found = []
    with patch.object(parts, "PART", size):
        outline = Outline()
        outline.feed(items)
        for part in outline.parts():
            each = PartFold(
                ledger=LEDGER, findings=Findings(), outline=outline, message_at=message_at
            )
            each.apply(items[version - 1] for version in part.versions.tolist())
            found.append((part, each))
    return found


@given(st.lists(everything, max_size=40))
def test_fold_of_verify_is_that_of_the_read_models(history: list[Event]) -> None:
    # Given any history
    items = recorded(history)
    # When verify folds it, which has a shorter way for the most frequent event
    whole = LedgerFold(LEDGER, Findings())
    whole.apply(items)
    # Then facts and links are those that the stores fold it to
    links = Links()
    for item in items:
        links.apply(item)
    assert whole.state.facts == fold(items).facts
    assert whole.links == links


@given(st.lists(everything, max_size=40), st.integers(1, 9))
def test_parts_together_are_the_whole(history: list[Event], size: int) -> None:
    # Given any history, folded at once and in parts
    items = recorded(history)
    whole = LedgerFold(LEDGER, Findings())
    whole.apply(items)
    found = in_parts(items, size)
    folds = [each for _, each in found]

    # Then every fact, link and message is in exactly one part, with all of its versions
    facts = [pair for each in folds for pair in each.state.facts.items()]
    assert len(facts) == len(whole.state.facts)
    assert dict(facts) == whole.state.facts
    links = [pair for each in folds for pair in each.links.history.items()]
    assert len(links) == len(whole.links.history)
    assert dict(links) == whole.links.history
    observed = {
        message_id: (each.position, each.message, each.pending)
        for fold in folds
        for message_id, each in fold.messages.items()
    }
    assert sum(len(each.messages) for each in folds) == len(whole.messages)
    assert observed == {
        message_id: (each.position, each.message, each.pending)
        for message_id, each in whole.messages.items()
    }
    assert set().union(*(each.evidence for each in folds)) == whole.evidence

    # And each message has its neighbours, whatever part they are in, and the place of its part
    for part, each in found:
        for message_id, message in each.messages.items():
            assert each.around(message_id) == whole.around(message_id)
            assert part.first <= message.position <= part.last

    # And each name has the spelling of the first event that gave it one
    spelled: dict[str, tuple[int, str]] = {}
    for each in folds:
        for name, version in each.spelled_at.items():
            own = (version, each.links.spelled[name])
            spelled[name] = min(spelled.get(name, own), own)
    assert {name: each for name, (_, each) in spelled.items()} == whole.links.spelled
