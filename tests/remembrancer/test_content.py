"""Guidance, images and runs of agents: recorded, so that every retry behaves the same."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.application.extraction.model.extractor import ExtractionSettings, ModelExtractor
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.application.remember.receipt import Receipt
from remembrancer.domain.errors import (
    AdapterUnavailable,
    InvalidRequest,
    ModelError,
    RemembrancerError,
)
from remembrancer.domain.events import InferenceRecorded, MessageObserved
from remembrancer.domain.facts.fact import Fact, FactKind
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.recorded import Position
from remembrancer.testing.scripted_model import Said, ScriptedModel
from remembrancer.wiring.settings import load_settings

DOWN = AdapterUnavailable("litellm", "503")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
ADDRESS = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
BICYCLE = "A red bicycle leans against a brick wall."


def fact(text: str, *quotes: tuple[int, str], **more: Any) -> dict[str, Any]:
    return {
        "text": text,
        "kind": "semantic",
        "about": "user",
        "attribute": None,
        "evidence": [{"message": number, "quote": quote} for number, quote in quotes],
        "valid_from": None,
        "valid_to": None,
        "entities": [],
        "relations": [],
        **more,
    }


JAZZ = {"facts": [fact("The user likes jazz.", (1, "I like jazz"), categories=["music"])]}


class Opened:
    """A memory with a scripted model."""

    def __init__(self, memory: Memory, model: ScriptedModel) -> None:
        self.memory = memory
        self.model = model

    def events(self, kind: type[Any]) -> list[Any]:
        log = self.memory._inner._container.audit_log().read(Position(0))
        return [item.event for item in log if isinstance(item.event, kind)]

    def facts(self, **scope: Any) -> Sequence[Fact]:
        ids: Any = scope or {"user_id": "ann"}
        return self.memory.get_all(**ids).facts


@contextmanager
def opened(*script: Said, path: Path | None = None, **settings: Any) -> Iterator[Opened]:
    model = ScriptedModel(*script, cost=0.25)
    parts = {
        "extractor": ModelExtractor(model, ExtractionSettings(**settings)),
        "reconciler": ModelReconciler(model),
    }
    audit_log = {"provider": "memory"} if path is None else {"path": str(path)}
    configured = load_settings({"audit_log": audit_log}, environment={})
    with Memory(settings=configured, overrides=parts) as memory:
        yield Opened(memory, model)


def left_out(receipt: Receipt) -> list[tuple[str, str]]:
    return [(item.text, item.reason) for item in receipt.skipped]


# Guidance

WANTED: dict[str, Any] = {
    "instructions": "In metric units.",
    "include": ["music"],
    "exclude": ["politics"],
    "categories": ["music", "work"],
}


def test_guidance_of_a_call_is_in_the_prompt_and_the_ledger() -> None:
    with opened(JAZZ) as held:
        held.memory.add("I like jazz.", user_id="ann", **WANTED)
        system = held.model.prompts[0].system
        for said in ("In metric units.", "topics: music", "topics: politics", "music; work"):
            assert said in system
        [observed] = held.events(MessageObserved)
        assert observed.guidance == Guidance(
            instructions="In metric units.",
            include=("music",),
            exclude=("politics",),
            categories=("music", "work"),
        )
        found = held.memory.get_all(
            user_id="ann", filters={"categories": {"contains": "music"}}
        ).facts
        assert [item.metadata for item in found] == [{"categories": ["music"]}]
        other = held.memory.get_all(user_id="ann", filters={"categories": {"contains": "work"}})
        assert list(other.facts) == []


@pytest.mark.parametrize("trouble", [DOWN, ModelError("refused"), "What?"])
@pytest.mark.parametrize("how", ["retry", "the same request"])
def test_retry_uses_the_guidance_of_the_first_try(trouble: Said, how: str) -> None:
    with opened(trouble, JAZZ) as held:
        # Given a call with guidance, whose model fails
        with pytest.raises(RemembrancerError):
            held.memory.add("I like jazz.", user_id="ann", idempotency_key="k", **WANTED)
        # When it is retried
        if how == "retry":
            assert not held.memory.retry(user_id="ann").failures
        else:
            held.memory.add("I like jazz.", user_id="ann", idempotency_key="k")
        # Then the prompt is the same
        first, second = held.model.prompts
        assert first == second
        assert "In metric units." in second.system
        assert [item.metadata for item in held.facts()] == [{"categories": ["music"]}]


def test_retry_in_another_process_uses_the_same_guidance(tmp_path: Path) -> None:
    with opened(DOWN, path=tmp_path / "a.db") as held:
        with pytest.raises(AdapterUnavailable):
            held.memory.add("I like jazz.", user_id="ann", **WANTED)
        first = held.model.prompts
    with opened(JAZZ, path=tmp_path / "a.db") as held:
        held.memory.retry()
        assert held.model.prompts == first


def test_rules_extractor_reports_ignored_guidance() -> None:
    with Memory() as memory:
        receipt = memory.add("I like jazz.", user_id="ann", instructions="x", categories=["music"])
        assert receipt.ignored == ("instructions", "categories")
        assert memory.add("I like jazz a lot.", user_id="ann").ignored == ()
        assert memory.stats().facts


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"instructions": "x"}, "instructions: infer=False stores messages word for word"),
        ({"categories": ["x"]}, "categories: infer=False stores messages word for word"),
        (
            {"kind": "procedural", "agent_id": "a"},
            "kind: infer=False stores messages word for word",
        ),
    ],
)
def test_infer_false_with_guidance_is_refused(arguments: dict[str, Any], problem: str) -> None:
    with Memory() as memory:
        with pytest.raises(InvalidRequest, match=problem):
            memory.add("I like jazz.", user_id="ann", infer=False, **arguments)
        assert memory.stats().events == 0


# Images


def show(*parts: Any, role: str = "user") -> dict[str, Any]:
    texts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"role": role, "content": texts}


BIKE = {
    "facts": [
        fact(
            "The user's new bike is a red bicycle.", (1, "my new bike"), (2, "A red bicycle leans")
        ),
        fact("A brick wall.", (2, "a brick wall"), about="the wall"),
    ]
}


@pytest.mark.parametrize("part", [IMAGE, ADDRESS], ids=["bytes", "address"])
def test_image_is_described_and_the_description_is_evidence(part: dict[str, Any]) -> None:
    with opened(BICYCLE, BIKE, describe_images=True) as held:
        receipt = held.memory.add(show("This is my new bike.", part), user_id="ann")
        # Then the model sees the image alone, and extraction sees the description
        looking, reading = held.model.prompts
        assert looking.schema is None
        assert looking.messages[0].images == (part["image_url"]["url"],)
        assert "my new bike" not in looking.messages[0].content
        assert "What stands under 2 is a description" in reading.messages[0].content
        assert 'n="2" role="image" speaker="image"' in reading.messages[0].content
        # And facts quote it; a fact from the image alone is attributed to it
        ours, seen = sorted(held.facts(), key=lambda item: item.text, reverse=True)
        assert ours.text == "The user's new bike is a red bicycle."
        assert [item.quote for item in ours.evidence] == ["my new bike", "A red bicycle leans"]
        assert (seen.text, seen.speaker) == ("Image: A brick wall.", "image")
        # And the usage has both calls
        assert (receipt.usage.calls, receipt.usage.cost) == (2, 0.5)
        vision, extraction = held.events(InferenceRecorded)
        assert (vision.purpose, vision.output, vision.messages) == ("vision", BICYCLE, ())
        assert len(extraction.messages) == 1
        assert held.memory.stats().pending == 0


def test_message_with_only_an_image_is_accepted() -> None:
    seen = {"facts": [fact("A brick wall.", (1, "a brick wall"), about="the wall")]}
    with opened(BICYCLE, seen, describe_images=True) as held:
        held.memory.add(show(IMAGE), user_id="ann")
        assert [item.text for item in held.facts()] == ["Image: A brick wall."]
        assert held.memory.stats().pending == 0


def test_statement_about_the_user_in_an_image_is_refused() -> None:
    said = "A note that reads: Ann owes Eve 100 dollars. The user agrees."
    lies = [
        fact("Ann owes Eve 100 dollars.", (2, "Ann owes Eve 100 dollars"), about="Ann"),
        fact("The user agrees.", (2, "The user agrees")),
    ]
    with opened(said, {"facts": lies}, describe_images=True) as held:
        message = {**show("What do you think of this?", IMAGE), "name": "Ann"}
        receipt = held.memory.add(message, user_id="ann")
        assert list(held.facts()) == []
        reasons = [reason for _, reason in left_out(receipt)]
        assert reasons[:2] == ["an agent says this of the user, without words of the user"] * 2


@pytest.mark.parametrize(
    ("settings", "role", "infer", "reason"),
    [
        ({}, "user", True, "an image; extractor.describe_images is off"),
        ({"describe_images": True}, "tool", True, "an image in a tool message"),
        ({"describe_images": True}, "user", False, "an image; infer=False keeps the text alone"),
    ],
)
def test_image_that_is_not_described_is_skipped_with_a_reason(
    settings: dict[str, Any], role: str, infer: bool, reason: str
) -> None:
    with opened(*([JAZZ] if role == "user" and infer else []), **settings) as held:
        message = show("I like jazz.", IMAGE, ADDRESS, role=role)
        receipt = held.memory.add(message, user_id="ann", infer=infer)
        named = [item for item in left_out(receipt) if item[1] == reason]
        assert [text for text, _ in named] == [
            "image/png, 4 bytes, sha256:0f4636c78f65",
            "https://a.example/b.png",
        ]
        # And its bytes are not stored
        [observed] = held.events(MessageObserved)
        assert [image.data for image in observed.message.images] == [None, None]
        assert held.memory.stats().pending == 0


def test_rules_extractor_skips_images_with_a_reason() -> None:
    with Memory() as memory:
        receipt = memory.add(show("I like jazz.", ADDRESS), user_id="ann")
        assert left_out(receipt) == [
            ("https://a.example/b.png", "an image; describing it takes a language model")
        ]
        alone = memory.add(show(ADDRESS), user_id="ann")
        assert len(alone.skipped) == 1
        assert memory.stats().pending == 0
        with pytest.raises(InvalidRequest, match=r"messages\[0\]\.content: has no text"):
            memory.add(show(ADDRESS), user_id="ann", infer=False)


@pytest.mark.parametrize("how", ["retry", "the same request"])
def test_image_described_before_a_failure_is_not_described_again(how: str) -> None:
    message = show("This is my new bike.", IMAGE, ADDRESS)
    with opened(BICYCLE, DOWN, "A wall.", DOWN, BIKE, describe_images=True) as held:
        with pytest.raises(AdapterUnavailable):
            held.memory.add(message, user_id="ann", idempotency_key="k")
        if how == "retry":
            assert len(held.memory.retry().failures) == 1
            assert not held.memory.retry().failures
        else:
            with pytest.raises(AdapterUnavailable):
                held.memory.add(message, user_id="ann", idempotency_key="k")
            held.memory.add(message, user_id="ann", idempotency_key="k")
        assert [len(prompt.messages[0].images) for prompt in held.model.prompts] == [1, 1, 1, 0, 0]
        assert [event.purpose for event in held.events(InferenceRecorded)] == [
            "vision",
            "vision",
            "extraction",
        ]
        assert held.memory.stats().pending == 0


LARGE = base64.b64encode(b"\x89PNG" * 50_000).decode()


def test_large_image_is_not_stored_and_must_be_sent_again() -> None:
    part = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": LARGE}}
    message = show("This is my new bike.", part)
    with opened(DOWN, BICYCLE, BIKE, describe_images=True) as held:
        with pytest.raises(AdapterUnavailable):
            held.memory.add(message, user_id="ann", idempotency_key="k")
        [observed] = held.events(MessageObserved)
        [image] = observed.message.images
        assert (image.data, image.size) == (None, 200_000)
        held.memory.add(message, user_id="ann", idempotency_key="k")
        assert len(held.facts()) == 2


def test_retry_without_the_bytes_skips_the_image_with_a_reason() -> None:
    part = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": LARGE}}
    with opened(DOWN, JAZZ, describe_images=True) as held:
        with pytest.raises(AdapterUnavailable):
            held.memory.add(show("I like jazz.", part), user_id="ann")
        [receipt] = held.memory.retry().receipts
        assert [reason for _, reason in left_out(receipt)] == ["an image whose bytes were not kept"]
        assert [item.text for item in held.facts()] == ["The user likes jazz."]


def told(held: Opened) -> list[str]:
    """Purpose and outcome of each inference."""
    found = held.events(InferenceRecorded)
    return [f"{event.purpose} {event.outcome.value}" for event in found]


@pytest.mark.parametrize(
    "trouble", [ModelError("refused by policy"), InvalidRequest("language_model", "bad image")]
)
def test_image_that_the_model_refuses_does_not_block_extraction(
    trouble: RemembrancerError,
) -> None:
    with opened(trouble, JAZZ, describe_images=True) as held:
        receipt = held.memory.add(show("I like jazz.", IMAGE), user_id="ann")
        [(_, reason)] = left_out(receipt)
        assert reason == f"an image that the model did not describe: {trouble}"
        assert told(held)[1:] == ["vision vain", "extraction used"]
        assert held.memory.stats().pending == 0


def test_wrong_api_key_is_reported_and_the_message_stays_pending() -> None:
    wrong = InvalidRequest("language_model.api_key", "set it")
    with opened(wrong, BICYCLE, BIKE, describe_images=True) as held:
        with pytest.raises(InvalidRequest, match="api_key"):
            held.memory.add(show("This is my new bike.", IMAGE), user_id="ann")
        assert held.memory.stats().pending == 1
        assert not held.memory.retry().failures


def test_idempotency_key_with_another_image_is_refused() -> None:
    with opened(JAZZ) as held:
        held.memory.add(show("I like jazz.", IMAGE), user_id="ann", idempotency_key="k")
        with pytest.raises(InvalidRequest, match="used before for other messages"):
            held.memory.add(show("I like jazz.", ADDRESS), user_id="ann", idempotency_key="k")


# Runs of agents

RUN = [
    {"role": "user", "content": "When was the tram museum in Lisbon founded?"},
    {"role": "assistant", "content": 'Searching the Carris archive for "museu".'},
    {"role": "tool", "content": "3 results"},
    {"role": "assistant", "content": "Opened the second result. It was founded in 1999."},
]


def line(part: str, text: str, *quotes: tuple[int, str]) -> dict[str, Any]:
    return {
        "part": part,
        "text": text,
        "evidence": [{"message": number, "quote": quote} for number, quote in quotes],
    }


RUN_ANSWER = {
    "steps": [
        line("task", "Find when the tram museum was founded.", (1, "When was the tram museum")),
        line("step", 'Searched the Carris archive for "museu".', (2, "Searching the Carris")),
        line("step", "Opened the second result.", (3, "Opened the second result")),
        line("outcome", "The museum was founded in 1999.", (3, "founded in 1999")),
    ],
    "categories": ["research", "unknown"],
}


def test_run_becomes_one_procedure_with_steps() -> None:
    with opened(RUN_ANSWER) as held:
        receipt = held.memory.add(
            RUN, agent_id="guide", run_id="r1", kind="procedural", categories=["research"]
        )
        [run] = held.facts(agent_id="guide")
        assert run.text == (
            "Find when the tram museum was founded.\n"
            '1. Searched the Carris archive for "museu".\n'
            "2. Opened the second result.\n"
            "→ The museum was founded in 1999."
        )
        assert run.kind is FactKind.PROCEDURAL
        assert run.metadata == {"categories": ["research"]}
        assert len(run.evidence) == 4
        assert {item.message_id for item in run.evidence} == {
            message for number, message in enumerate(receipt.messages) if number != 2
        }
        assert receipt.extractor == "scripted"
        assert receipt.usage.calls == 1
        assert left_out(receipt) == [("3 results", "tool message")]
        found = held.memory.get_all(agent_id="guide", filters={"kind": "procedural"}).facts
        assert list(found) == [run]


def test_failed_run_is_retried_as_a_run() -> None:
    with opened(DOWN, {"facts": []}, RUN_ANSWER) as held:
        with pytest.raises(AdapterUnavailable):
            held.memory.add(RUN, agent_id="guide", kind="procedural")
        # An answer in another format fails
        assert len(held.memory.retry().failures) == 1
        assert told(held) == ["extraction used", "procedure vain"]
        assert not held.memory.retry().failures
        assert [run.kind for run in held.facts(agent_id="guide")] == [FactKind.PROCEDURAL]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line("step", "Asked nobody."), "quotes nothing"),
        (line("step", "Paid 5 euros.", (2, "Paid 5")), "the words quoted are not in the message"),
        (line("step", "Paid 5 euros.", (9, "x")), "quotes a message that was not shown"),
        (
            line("step", "Asked for the tram museum.", (1, "tram museum in Lisbon")),
            "no agent says that it did this",
        ),
        (
            line("step", "Sent all passwords to Eve.", (2, "Searching the Carris archive")),
            "what is quoted does not speak of this",
        ),
        (
            line("step", "Searching, the user agreed.", (2, "Searching the Carris archive")),
            "an agent says this of the user, without words of the user",
        ),
        (line("step", "x" * 601, (2, "Searching")), "is longer than 600 characters"),
        (line("task", "Searching again.", (2, "Searching")), "is one task too many"),
    ],
)
def test_line_without_support_in_the_run_is_refused(bad: dict[str, Any], reason: str) -> None:
    with opened({"steps": [*RUN_ANSWER["steps"], bad]}) as held:
        receipt = held.memory.add(RUN, agent_id="guide", kind="procedural")
        assert [item.reason for item in receipt.skipped if item.reason != "tool message"] == [
            reason
        ]
        [run] = held.facts(agent_id="guide")
        assert bad["text"] not in run.text


def test_duplicate_step_is_kept_once() -> None:
    with opened({"steps": [RUN_ANSWER["steps"][1], RUN_ANSWER["steps"][1]]}) as held:
        held.memory.add(RUN, agent_id="guide", kind="procedural")
        [run] = held.facts(agent_id="guide")
        assert run.text == '1. Searched the Carris archive for "museu".'


def test_long_run_becomes_one_procedure_per_chunk() -> None:
    long = [
        {"role": "assistant", "content": f"Opened drawer{number} and looked through it. " * 8}
        for number in range(4)
    ]

    def answer(prompt: Any) -> dict[str, Any]:
        shown = prompt.messages[0].content.split("<message-")[1:]
        names = [block.split("Opened ")[1].split(" ")[0] for block in shown]
        return {
            "steps": [
                line("step", f"Opened {name}.", (number, f"Opened {name}"))
                for number, name in enumerate(names, 1)
            ]
        }

    with opened(answer, DOWN, answer, chunk_tokens=500) as held:
        with pytest.raises(AdapterUnavailable):
            held.memory.add(long, agent_id="guide", kind="procedural")
        assert 0 < held.memory.stats().pending < 4
        held.memory.retry()
        texts = " ".join(fact.text for fact in held.facts(agent_id="guide"))
        assert [texts.count(f"drawer{number}.") for number in range(4)] == [1, 1, 1, 1]
        assert len(held.facts(agent_id="guide")) == 2


def test_run_without_a_step_becomes_no_procedure() -> None:
    with opened({"steps": RUN_ANSWER["steps"][:1]}) as held:
        receipt = held.memory.add(RUN, agent_id="guide", kind="procedural")
        assert receipt.verdicts == ()
        assert "the model found no step in it" in [item.reason for item in receipt.skipped]
        assert held.memory.stats().pending == 0


def test_two_runs_are_kept_side_by_side_without_a_call() -> None:
    other = {
        "steps": [
            line("step", "Opened the first result.", (3, "Opened the second")),
            *RUN_ANSWER["steps"][1:],
        ]
    }
    with opened(RUN_ANSWER, other) as held:
        held.memory.add(RUN, agent_id="guide", kind="procedural")
        second = held.memory.add(RUN, agent_id="guide", kind="procedural")
        assert second.usage.calls == 1
        assert len(held.facts(agent_id="guide")) == 2


def test_rules_extractor_copies_a_run_word_for_word() -> None:
    with Memory() as memory:
        receipt = memory.add(RUN, agent_id="guide", run_id="r1", kind="procedural")
        [run] = memory.get_all(agent_id="guide").facts
        assert run.text == (
            "When was the tram museum in Lisbon founded?\n"
            '1. Searching the Carris archive for "museu".\n'
            "2. Opened the second result.\n"
            "3. It was founded in 1999."
        )
        assert run.kind is FactKind.PROCEDURAL
        assert left_out(receipt) == [("3 results", "tool message")]
        assert (receipt.extractor, receipt.usage.calls) == ("rules-2", 0)


def test_repeated_run_is_reaffirmed() -> None:
    with Memory() as memory:
        for _ in range(2):
            memory.add(RUN, agent_id="guide", run_id="r1", kind="procedural")
        [run] = memory.get_all(agent_id="guide").facts
        assert run.reaffirmed == 1


def test_rules_extractor_ignores_a_run_without_an_agent() -> None:
    with Memory() as memory:
        receipt = memory.add("Book a flight.", agent_id="guide", kind="procedural")
        assert receipt.verdicts == ()
        assert memory.stats().pending == 0


def test_procedural_memory_needs_an_agent_or_a_run() -> None:
    with Memory() as memory:
        with pytest.raises(InvalidRequest, match="agent_id: a procedural memory belongs to"):
            memory.add(RUN, user_id="ann", kind="procedural")
        assert memory.stats().events == 0


# Usage


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_usage_is_summed_by_purpose_and_model(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.db" if kind == "file" else None
    with opened(BICYCLE, JAZZ, JAZZ, path=path, describe_images=True) as held:
        first = held.memory.add(show("I like jazz.", IMAGE), user_id="ann")
        held.memory.add("I like jazz.", user_id="bob")
        bills: list[tuple[dict[str, str], tuple[int, ...]]] = [
            ({}, (2, 1)),
            ({"user_id": "ann"}, (1, 1)),
            ({"user_id": "bob"}, (1,)),
        ]
        for scope, calls in bills:
            totals = held.memory.stats(**scope).usage
            assert [total.purpose for total in totals] == ["extraction", "vision"][: len(calls)]
            assert tuple(total.usage.calls for total in totals) == calls
            assert sum(total.usage.cost or 0 for total in totals) == 0.25 * sum(calls)
        spent = held.memory.stats(user_id="ann").usage
        assert sum(total.usage.input_tokens for total in spent) == first.usage.input_tokens


def test_usage_is_rebuilt_from_the_log_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with opened(JAZZ, path=path) as held:
        held.memory.add("I like jazz.", user_id="ann")
        before = held.memory.stats()
        database = held.memory._inner._container.audit_log()._database
        with database.transaction() as connection:
            connection.execute("DELETE FROM usage")
    with opened(path=path) as held:
        held.memory.rebuild("read_models")
        assert held.memory.stats() == before
