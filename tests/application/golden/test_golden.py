"""Golden files: the prompts of recorded conversations, and the facts of the recorded answers.

After a change of prompts or checks, run ``pytest tests/application/golden --update-golden`` and
review the diff. Each snippet holds messages and model answers; its file under ``expected`` holds
the prompts, receipts, facts and relations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.application.extraction.model.drafts import facts_schema, steps_schema
from remembrancer.application.extraction.model.extractor import ExtractionSettings, ModelExtractor
from remembrancer.application.prompting.prompt_template import prepare
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.application.remember.receipt import Receipt
from remembrancer.domain.events import RelationAsserted
from remembrancer.domain.facts.fact import Fact, Interval
from remembrancer.domain.ports.language_model import Prompt
from remembrancer.domain.recorded import Position
from remembrancer.testing.scripted_model import ScriptedModel
from remembrancer.wiring.settings import load_settings
from tests.helpers.clock import VirtualClock
from tests.helpers.counting_ids import CountingIds

HERE = Path(__file__).parent
SNIPPETS = sorted((HERE / "snippets").glob("*.json"))
PLAIN: Mapping[str, str] = {"instructions": "", "include": "", "exclude": "", "categories": ""}
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden", default=False))


def compare(name: str, text: str, *, update: bool) -> None:
    path = HERE / "expected" / name
    if update:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        "pytest tests/application/golden --update-golden"
    )


def test_prompts_equal_the_golden_file(update: bool) -> None:
    parts: list[str] = []
    prompts: Mapping[str, Mapping[str, str]] = {
        "extraction-3": PLAIN,
        "procedure-1": PLAIN,
        "vision-1": {},
        "reconciliation-2": {},
    }
    for name, settings in prompts.items():
        template = prepare(name, settings)
        parts += [f"=== {name} {template.digest}", template.system, "---", template.open_turn]
    parts += ["=== facts", json.dumps(facts_schema((), 20), indent=1)]
    parts += ["=== steps", json.dumps(steps_schema((), 32), indent=1)]
    compare("prompts.md", "\n".join(parts) + "\n", update=update)


@pytest.mark.parametrize("path", SNIPPETS, ids=lambda path: path.stem)
def test_snippet_gives_the_golden_prompts_receipts_and_facts(path: Path, update: bool) -> None:
    snippet = json.loads(path.read_text(encoding="utf-8"))
    answers = [answer for add in snippet["adds"] for answer in add["answers"]]
    model = ScriptedModel(*answers)
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in snippet.get("settings", {}).items()
    }
    parts = {
        "extractor": ModelExtractor(model, ExtractionSettings(**settings)),
        "reconciler": ModelReconciler(model),
        "clock": VirtualClock(time=START, step=1),
        "ids": CountingIds(),
    }
    shown = [f"# {snippet['about']}"]
    configured = load_settings({"audit_log": "memory"}, environment={})
    with Memory(settings=configured, overrides=parts) as memory:
        for add in snippet["adds"]:
            asked = len(model.prompts)
            receipt = memory.add(add["messages"], user_id="u1", **add.get("arguments", {}))
            shown += [_prompt(prompt) for prompt in model.prompts[asked:]]
            shown.append(_receipt(receipt))
        facts = memory.get_all(user_id="u1", valid_at=None, limit=100).facts
        log = memory._inner._container.audit_log().read(Position(0))
        versions = [version for fact in _ids(log) for version in memory.history(fact)]
    assert model.unsaid == 0
    assert {fact.fact_id for fact in facts} <= {version.fact_id for version in versions}
    relations = [item.event for item in log if isinstance(item.event, RelationAsserted)]
    shown.append("\n".join(("## Facts", *map(_fact, versions))))
    shown.append("\n".join(("## Relations", *map(_relation, relations))))
    compare(f"{path.stem}.md", "\n\n".join(shown) + "\n", update=update)


def test_every_snippet_has_a_golden_file() -> None:
    assert len(SNIPPETS) >= 40
    expected = {path.stem for path in (HERE / "expected").glob("*.md")}
    assert expected == {path.stem for path in SNIPPETS} | {"prompts"}


def _ids(log: Sequence[Any]) -> list[Any]:
    found = [getattr(item.event, "fact_id", None) for item in log]
    return list(dict.fromkeys(fact_id for fact_id in found if fact_id is not None))


def _prompt(prompt: Prompt) -> str:
    [message] = prompt.messages
    if prompt.schema is None:
        return "\n".join(("## Asked to look at", *message.images, message.content))
    [purpose] = {"facts", "steps", "decisions"} & set(prompt.schema["properties"])
    if purpose == "decisions":
        return f"## Asked for decisions\n{message.content}"
    # The system prompt differs from the base only by guidance.
    base = prepare({"facts": "extraction-3", "steps": "procedure-1"}[purpose], PLAIN).system
    known = base.split("\n\n")
    own = [part for part in prompt.system.split("\n\n") if part not in known]
    added = ["## Guidance", *own] if own else []
    return "\n".join((*added, f"## Asked for {purpose}", message.content))


def _receipt(receipt: Receipt) -> str:
    lines = [f"## Decided, with {receipt.usage.calls} calls"]
    lines += [
        f"- {verdict.decision.value}: {verdict.text!r} ({verdict.reason})"
        for verdict in receipt.verdicts
    ]
    lines += [f"- left out: {item.text!r} ({item.reason})" for item in receipt.skipped]
    return "\n".join(lines)


def _fact(fact: Fact) -> str:
    quotes = "; ".join(item.quote or "" for item in fact.evidence)
    return (
        f"- {fact.status.value} {fact.kind.value} {fact.text!r}\n"
        f"  by {fact.speaker}, {_interval(fact.valid)}, slot {fact.slot}, "
        f"names {', '.join(fact.entities) or 'nobody'}\n"
        f"  quotes {quotes!r}" + (f"\n  {dict(fact.metadata)}" if fact.metadata else "")
    )


def _relation(relation: RelationAsserted) -> str:
    return (
        f"- {relation.subject} | {relation.predicate} | {relation.object}, "
        f"{_interval(relation.valid)}"
    )


def _interval(valid: Interval) -> str:
    start, end = (
        moment and moment.isoformat(" ", "minutes") for moment in (valid.start, valid.end)
    )
    return f"from {start} to {end}"
