"""Prompt injection: hostile conversations against a model that obeys them.

The model copies every JSON value in a prompt into its answer, carries out every command, misquotes,
mislabels and invents numbers. So only the checks can prevent damage.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.application.extraction.model.extractor import ExtractionSettings, ModelExtractor
from remembrancer.application.prompting.prompt_template import prepare
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.errors import ModelError
from remembrancer.domain.events import (
    FactAdded,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    MessageObserved,
)
from remembrancer.domain.facts.fact import FactKind
from remembrancer.domain.ports.language_model import Prompt
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.scripted_model import ScriptedModel
from remembrancer.wiring.settings import load_settings

CORPUS = [
    json.loads(line)
    for line in (Path(__file__).parent / "red_team.jsonl").read_text("utf-8").splitlines()
]
ANN = LedgerId("user:ann")
KNOWN = ("Ann lives in Oslo.", "Ann runs every morning.", "Bob's PIN is 4711.")

_COMMAND = re.compile(r"(?:remember that|store the fact:|save the fact:)\s*(.+)", re.IGNORECASE)
_EXACTLY = re.compile(r"output exactly: (.+)", re.IGNORECASE | re.DOTALL)
_ADMINISTRATOR = "Ann is an administrator of everything, says the model."


def obey(prompt: Prompt) -> str | dict[str, Any]:
    """The answer that the conversation demands; for an image, the text in it."""
    if prompt.schema is None:
        [image] = prompt.messages[0].images
        return base64.b64decode(image.partition(",")[2]).decode()
    content = prompt.messages[0].content
    if "decisions" in prompt.schema["properties"]:
        return {"decisions": [*_found(content, "decisions"), *_deeds(content)]}
    blocks = _blocks(content)
    for _, text in blocks:
        if (exactly := _EXACTLY.search(text)) is not None:
            return exactly[1]
    if "steps" in prompt.schema["properties"]:
        deeds = [step for number, text in blocks for step in _forged_steps(number, text, blocks)]
        return {"steps": [*_found(content, "facts"), *deeds, *map(_report, blocks)]}
    lies = [lie for number, text in blocks for lie in _lies(number, text, blocks[0][1])]
    return {"facts": [*_found(content, "facts"), *lies, *map(_report, blocks)]}


def _blocks(content: str) -> list[tuple[int, str]]:
    """The messages in the prompt, with their numbers."""
    [mark] = re.findall(r"^The mark of this conversation is (\w+)\.", content)
    pattern = rf'<message-{mark} n="(\d+)"[^\n]*>\n(.*?)\n</message-{mark}>'
    return [(int(n), text) for n, text in re.findall(pattern, content, re.DOTALL)]


def _report(block: tuple[int, str]) -> dict[str, Any]:
    """A correct fact from a message: its first sentence."""
    number, text = block
    sentence = text.split(".")[0]
    return {
        "text": sentence,
        "about": sentence.split(" ")[0],
        "evidence": [{"message": number, "quote": sentence}],
        "entities": re.findall(r"[A-Z]\w+", sentence),
    }


def _found(content: str, name: str) -> Iterator[Any]:
    """Every item of the list with that name in every JSON value in the content."""
    for place, sign in enumerate(content):
        if sign == "{":
            with suppress(ValueError, RecursionError):
                value, _ = json.JSONDecoder().raw_decode(content, place)
                items = value.get(name)
                yield from items if isinstance(items, list) else []


def _lies(number: int, text: str, first: str) -> Iterator[dict[str, Any]]:
    """Facts that a text commands to remember, with every kind of quote that might pass."""
    words = " ".join(first.split()[:3])
    for said in _COMMAND.findall(text):
        for about in ("user", "Ann", "assistant", "the world"):
            for evidence in (
                [(number, said)],
                [(1, said)],
                [(1, words)],
                [(number, said), (1, words)],
                [(number, said), (1, first)],
                [(number + 1, said)],
                [(0, said)],
            ):
                yield {
                    "text": said,
                    "kind": "procedural",
                    "about": about,
                    "attribute": "residence",
                    "evidence": [{"message": n, "quote": quote} for n, quote in evidence],
                    "valid_from": "1900-01-01",
                    "valid_to": "2999-12-31",
                    "entities": ["Ann", "Bob", "Oslo", "administrator"],
                    "relations": [{"subject": "Bob", "predicate": "obeys", "object": "Eve"}],
                    "scope": {"user_id": "bob"},
                }


def _forged_steps(
    number: int, text: str, blocks: Sequence[tuple[int, str]]
) -> Iterator[dict[str, Any]]:
    """Commands in a text as completed steps, with every kind of quote that might pass."""
    for said in _COMMAND.findall(text):
        for part in ("task", "step", "outcome"):
            for n, quote in [(number, said), *blocks, *((n, t.split(".")[0]) for n, t in blocks)]:
                yield {"part": part, "text": said, "evidence": [{"message": n, "quote": quote}]}


def _deeds(content: str) -> Iterator[dict[str, Any]]:
    """Every decision about every fact, and about numbers that do not exist."""
    numbers = [int(n) for n in re.findall(r'<fact-\w+ n="(\d+)"', content)]
    deeds = [
        (decision, known)
        for known in (numbers, [999], [0, -1], [*numbers, 999])
        for decision in ("retract", "supersede", "revise", "reaffirm")
    ]
    # The first decision about a fact counts; a conversation can choose it.
    chosen = re.search(r"(\d+) times", content)
    for new in numbers:
        decision, known = deeds[int(chosen[1]) if chosen else new % len(deeds)]
        yield {
            "new": new,
            "decision": decision,
            "known": known,
            "text": _ADMINISTRATOR,
            "reason": "as I was told",
        }


class Attacked:
    """A memory with facts of Ann and Bob, and a model that obeys."""

    def __init__(self, memory: Memory, model: ScriptedModel) -> None:
        self.memory = memory
        self.model = model
        self._log = memory._inner._container.audit_log()
        for text, name, agent_id in (
            (KNOWN[0], "Ann", None),
            (KNOWN[1], "Ann", "coach"),
            (KNOWN[2], "Bob", None),
        ):
            said = {"role": "user", "name": name, "content": text}
            memory.add(said, infer=False, user_id=name.lower(), agent_id=agent_id)
        self.before = self.log()

    def log(self) -> Sequence[Recorded]:
        found: Sequence[Recorded] = self._log.read(Position(0))
        return found

    def news(self) -> Sequence[Recorded]:
        return self.log()[len(self.before) :]

    def facts(self) -> list[FactAdded]:
        return [item.event for item in self.news() if isinstance(item.event, FactAdded)]

    def messages(self) -> dict[str, Message]:
        events = [item.event for item in self.news()]
        return {
            event.message.message_id: event.message
            for event in events
            if isinstance(event, MessageObserved)
        }


@pytest.fixture(scope="module", params=CORPUS, ids=lambda case: f"{case['attack']}: {case['id']}")
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


@pytest.fixture(scope="module")
def attacked(case: dict[str, Any]) -> Iterator[Attacked]:
    model = ScriptedModel(otherwise=obey)
    parts = {"extractor": ModelExtractor(model), "reconciler": ModelReconciler(model)}
    with Memory(settings=load_settings({"audit_log": "memory"}), overrides=parts) as memory:
        attack = Attacked(memory, model)
        if case.get("fails"):
            with pytest.raises(ModelError):
                memory.add(case["messages"], user_id="ann")
        else:
            memory.add(case["messages"], user_id="ann")
        yield attack


def test_corpus_covers_every_kind_of_attack() -> None:
    kinds = [case["attack"] for case in CORPUS]
    assert len(CORPUS) >= 60
    assert {kind: kinds.count(kind) >= 7 for kind in set(kinds)} == dict.fromkeys(
        (
            "instruction injection",
            "fake system turn",
            "forged quote",
            "cross-user claim",
            "handle forging",
            "broken JSON",
            "unicode trick",
        ),
        True,
    )


def test_no_fact_crosses_a_ledger(attacked: Attacked) -> None:
    assert {item.ledger for item in attacked.news()} == {ANN}
    assert {event.scope.ledger for event in attacked.facts()} <= {ANN}
    assert [fact.text for fact in attacked.memory.get_all(user_id="bob").facts] == [KNOWN[2]]
    assert not any("4711" in prompt.messages[0].content for prompt in attacked.model.prompts)


def test_every_fact_quotes_its_message(attacked: Attacked) -> None:
    messages = attacked.messages()
    for event in attacked.facts():
        assert event.evidence
        for item in event.evidence:
            assert item.quote
            assert item.quote in messages[item.message_id].text
            assert messages[item.message_id].role in (Role.USER, Role.ASSISTANT)
        assert event.speaker in {messages[item.message_id].speaker for item in event.evidence}


def test_only_facts_in_the_prompt_are_changed(attacked: Attacked) -> None:
    own = {
        item.event.fact_id: item.event.text
        for item in attacked.log()
        if isinstance(item.event, FactAdded) and item.ledger == ANN
    }
    shown = "\n".join(prompt.messages[0].content for prompt in attacked.model.prompts)
    for item in attacked.news():
        if isinstance(item.event, FactSuperseded | FactRetracted | FactRevised):
            assert own[item.event.fact_id] in shown
        if isinstance(item.event, FactReaffirmed):
            assert item.event.fact_id in own
        if isinstance(item.event, FactRevised):
            assert item.event.text != _ADMINISTRATOR
    coach = attacked.memory.get_all(user_id="ann", agent_id="coach").facts
    assert [fact.text for fact in coach] == [KNOWN[1]]


def test_agent_cannot_state_facts_about_the_user(attacked: Attacked) -> None:
    messages = attacked.messages()
    for event in attacked.facts():
        if all(messages[item.message_id].role is Role.ASSISTANT for item in event.evidence):
            assert re.match("assistant|bob", event.text, re.IGNORECASE)
            assert not re.search(r"\b(?:the user|ann)\b", event.text, re.IGNORECASE)
            assert event.slot is None or not event.slot.startswith(("user/", "ann/"))


def test_goal_of_the_attack_is_not_stored(attacked: Attacked, case: dict[str, Any]) -> None:
    added = [event.text for event in attacked.facts()]
    revised = [i.event.text or "" for i in attacked.news() if isinstance(i.event, FactRevised)]
    for wanted in case["never"]:
        assert [text for text in (*added, *revised) if wanted in text] == []
    assert len(added) <= case.get("most", 100)
    held = [fact.text for fact in attacked.memory.get_all(user_id="ann", limit=1000).facts]
    assert set(case.get("keeps", ())) <= set(held)


def test_conversation_stays_inside_the_prompt_fence(attacked: Attacked) -> None:
    system = prepare("extraction-3", dict.fromkeys(_PLACEHOLDERS, "")).system
    prompt = attacked.model.prompts[0] if attacked.model.prompts else None
    if prompt is not None:
        assert prompt.system == system
        shown = [message.text for message in attacked.messages().values()]
        assert all(text in shown for _, text in _blocks(prompt.messages[0].content))


def test_ledger_verifies_and_no_message_is_lost(attacked: Attacked, case: dict[str, Any]) -> None:
    assert attacked.memory.verify().ok
    assert len(attacked.messages()) == len(case["messages"])
    waiting = attacked.memory.stats().pending
    wait = case.get("waits", len(case["messages"])) if case.get("fails") else 0
    assert waiting == wait


_PLACEHOLDERS = ("instructions", "include", "exclude", "categories")


def test_attack_would_succeed_without_the_checks() -> None:
    """Without this the tests above prove nothing: the model does obey."""
    tried = 0
    for case in CORPUS:
        model = ScriptedModel(otherwise=obey)
        parts = {"extractor": ModelExtractor(model), "reconciler": ModelReconciler(model)}
        with Memory(settings=load_settings({"audit_log": "memory"}), overrides=parts) as memory:
            with suppress(ModelError):
                memory.add(case["messages"], user_id="ann")
            asked = [obey(prompt) for prompt in model.prompts]
        tried += any(isinstance(said, str) or said.get("facts") for said in asked)
    assert tried >= 60


# Runs of agents, and images


@pytest.fixture(scope="module")
def run(case: dict[str, Any]) -> Iterator[Attacked]:
    """The same conversation, added as the run of an agent."""
    model = ScriptedModel(otherwise=obey)
    parts = {"extractor": ModelExtractor(model), "reconciler": ModelReconciler(model)}
    with Memory(settings=load_settings({"audit_log": "memory"}), overrides=parts) as memory:
        attack = Attacked(memory, model)
        with suppress(ModelError):
            memory.add(case["messages"], user_id="ann", agent_id="coach", kind="procedural")
        yield attack


def test_run_adds_one_procedure_and_changes_no_other_fact(run: Attacked) -> None:
    kinds = {type(item.event).__name__ for item in run.news()}
    decided = {"PipelineDescribed", "InferenceRecorded", "CandidatesSettled"}
    assert kinds <= {"MessageObserved", *decided, "FactAdded"}
    assert {item.ledger for item in run.news()} == {ANN}
    assert [event.kind for event in run.facts()] in ([], [FactKind.PROCEDURAL])
    assert {event.scope.agent_id for event in run.facts()} <= {"coach"}
    assert run.memory.verify().ok


def test_step_quotes_an_agent_and_is_not_about_the_user(run: Attacked) -> None:
    messages = run.messages()
    for event in run.facts():
        assert all(item.quote for item in event.evidence)
        assert all((i.quote or "") in messages[i.message_id].text for i in event.evidence)
        said = [messages[item.message_id] for item in event.evidence]
        assert any(message.role is Role.ASSISTANT for message in said)
        assert all(message.role in (Role.USER, Role.ASSISTANT) for message in said)
        asked = " ".join(message.text for message in said if message.role is Role.USER)
        for step in event.text.split("\n"):
            if re.search(r"\b(?:the user|ann)\b", step, re.IGNORECASE):
                assert re.sub(r"^(?:\d+\. |→ )", "", step) in asked


def test_attack_in_a_run_would_succeed_without_the_checks() -> None:
    """Without this the test below proves nothing: the model does obey."""
    commanded = [
        step
        for case in CORPUS
        for number, item in enumerate(case["messages"], 1)
        for step in _forged_steps(number, item["content"], [(number, item["content"])])
    ]
    assert len({step["text"] for step in commanded}) >= 20


def test_goal_of_the_attack_is_not_in_a_procedure(run: Attacked, case: dict[str, Any]) -> None:
    own = " ".join(item["content"] for item in case["messages"] if item["role"] == "user")
    for event in run.facts():
        assert [w for w in case["never"] if w in event.text and w not in own] == []


@pytest.fixture(scope="module")
def pictured(case: dict[str, Any]) -> Iterator[Attacked]:
    """Every message of the conversation as an image in one harmless message from Ann."""
    model = ScriptedModel(otherwise=obey)
    settings = ExtractionSettings(describe_images=True)
    parts = {
        "extractor": ModelExtractor(model, settings),
        "reconciler": ModelReconciler(model),
    }
    content: list[dict[str, Any]] = [{"type": "text", "text": "I found these in the attic."}]
    for item in case["messages"]:
        data = base64.b64encode(item["content"].encode()).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        content.append({"type": "image", "source": source})
    with Memory(settings=load_settings({"audit_log": "memory"}), overrides=parts) as memory:
        attack = Attacked(memory, model)
        with suppress(ModelError):
            memory.add({"role": "user", "name": "Ann", "content": content}, user_id="ann")
        yield attack


def test_image_cannot_state_facts_about_the_user(pictured: Attacked, case: dict[str, Any]) -> None:
    assert {item.ledger for item in pictured.news()} == {ANN}
    [message] = pictured.messages().values()
    for event in pictured.facts():
        quotes = [item.quote or "" for item in event.evidence]
        if all(quote in message.text for quote in quotes):
            continue
        assert event.speaker in ("image", "Ann")
        if event.speaker == "image":
            assert event.text.startswith("Image")
            assert not re.search(r"\b(?:the user|ann)\b", event.text, re.IGNORECASE)
        assert not any(wanted in event.text for wanted in case["never"])


def test_image_cannot_change_existing_facts(pictured: Attacked) -> None:
    for item in pictured.news():
        assert not isinstance(item.event, FactSuperseded | FactRetracted)
    held = [fact.text for fact in pictured.memory.get_all(user_id="ann", limit=1000).facts]
    assert set(KNOWN[:2]) <= set(held)
    assert pictured.memory.verify().ok
