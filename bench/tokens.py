"""Model calls and prompt tokens of an add, against mem0ai.

Both add the same conversations with ``infer=True`` and their default prompts, through their OpenAI
clients, to a counting server on the loopback interface. mem0 2.x makes one call per add, with a
long system prompt for extraction; the call includes up to ten memories and the last ten messages,
and does not resolve contradictions (no memory is ever updated). Ours makes one call, and a second
one if a fact may conflict with existing facts.

The server's answers are generated from the conversations and equivalent for both: every other
message yields one fact, its longest sentence with the speaker's name, in the format that each side
expects. So the number of facts is the same, and the difference is what each pipeline sends. Answers
are shorter than those of a model, so output tokens are not compared. Both use the same offline
embedder (hashed words): with an embedder that finds more similarities, ours would make its second
call more often, and mem0 would include other memories.

Tokens are those of cl100k_base over all messages and the response format (including the JSON schema
that ours sends), counted with the encoding that litellm ships: nothing is downloaded.

The conversations are five of LoCoMo's (see ``bench.locomo``; not part of the project), cut into
adds of 2 and of 20 messages, and the golden snippets of
``tests/application/golden`` that need no settings.
Without a copy of LoCoMo only the snippets are used.

    python -m bench.tokens [FILE]
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from bench.locomo import DATA
from bench.report import Row, report
from remembrancer import Memory
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.testing.model_server import Asked, ModelServer

SNIPPETS = Path(__file__).parents[1] / "tests" / "application" / "golden" / "snippets"
MODEL = "gpt-4o-mini"
DIMENSION = 256
SIZES = (2, 20)
"""Messages per add: one exchange, and a large part of a session."""


@frozen(kw_only=True)
class ExpectedFact:
    """A fact of the server's answer, and the quote that supports it."""

    text: str
    quote: str
    speaker: str


@frozen(kw_only=True)
class Add:
    """One add: user, messages, and the facts that the server answers with."""

    user: str
    messages: Sequence[Mapping[str, Any]]
    facts: Sequence[ExpectedFact]


def of_locomo(file: Path, size: int, adds: int) -> Iterator[Add]:
    """Adds from the start of each conversation, equally many per conversation."""
    samples = json.loads(file.read_text("utf-8"))
    for sample in samples:
        conversation = sample["conversation"]
        sessions = sorted(
            (name for name in conversation if re.fullmatch(r"session_\d+", name)),
            key=lambda name: int(name.removeprefix("session_")),
        )
        turns = [turn for name in sessions for turn in conversation[name]]
        for start in range(0, len(turns), size)[: adds // len(samples)]:
            said = turns[start : start + size]
            yield Add(
                user=sample["sample_id"],
                messages=[
                    {"role": "user", "name": turn["speaker"], "content": turn["text"]}
                    for turn in said
                ],
                facts=[_expected(turn) for turn in said[::2]],
            )


def _expected(turn: Mapping[str, str]) -> ExpectedFact:
    sentences = re.split(r"(?<=[.!?])\s+", turn["text"])
    longest = max(sentences, key=len)
    return ExpectedFact(
        text=f"{turn['speaker']}: {longest}", quote=longest, speaker=turn["speaker"]
    )


def of_snippets() -> Iterator[Add]:
    """The first add of each golden snippet that needs no settings."""
    for path in sorted(SNIPPETS.glob("*.json")):
        snippet = json.loads(path.read_text("utf-8"))
        first = snippet["adds"][0]
        [answer, *more] = first["answers"] or [None]
        if "settings" in snippet or "arguments" in first or more or not isinstance(answer, dict):
            continue
        drafts = [draft for draft in answer.get("facts", []) if isinstance(draft, dict)]
        yield Add(
            user=path.stem,
            messages=first["messages"],
            facts=[
                ExpectedFact(
                    text=draft["text"],
                    quote=draft["evidence"][0]["quote"],
                    speaker=draft.get("about") or "user",
                )
                for draft in drafts
                if draft.get("text") and draft.get("evidence")
            ],
        )


class Subject(Protocol):
    """One of the two memories, with a server that answers in its format."""

    def add(self, add: Add) -> int: ...
    def close(self) -> None: ...


class Ours:
    """remembrancer over litellm, otherwise with default settings."""

    def __init__(self, folder: Path, server: ModelServer, reply: Reply) -> None:
        self._reply = reply
        reply.say = self._answer
        model = {"provider": "litellm", "model": f"openai/{MODEL}", "base_url": server.url}
        self._memory = Memory.from_config(
            {
                "audit_log": {"path": str(folder / "ours.db"), "durability": "normal"},
                "embedder": {"provider": "hashing", "dimension": DIMENSION},
                "language_model": model,
            }
        )

    def add(self, add: Add) -> int:
        """Add; return the number of facts."""
        self._reply.add = add
        receipt = self._memory.add(list(add.messages), user_id=add.user)
        return sum(1 for verdict in receipt.verdicts if verdict.fact_id)

    def _answer(self, add: Add, asked: Asked) -> Mapping[str, Any]:
        content = asked.body["messages"][-1]["content"]
        if content.startswith("The mark is"):
            # A fact without a decision is added.
            return {"decisions": []}
        shown = re.findall(r'<message-(\w+) n="(\d+)"[^\n]*>\n(.*?)\n</message-\1>', content, re.S)
        return {
            "facts": [
                {
                    "text": fact.text,
                    "kind": "semantic",
                    "about": fact.speaker,
                    "attribute": None,
                    "evidence": [{"message": int(number), "quote": fact.quote}],
                    "valid_from": None,
                    "valid_to": None,
                    "entities": [],
                    "relations": [],
                }
                for _, number, text in shown
                for fact in add.facts
                if fact.quote in text
            ]
        }

    def close(self) -> None:
        self._memory.close()


class Mem0:
    """mem0ai with its OpenAI client, telemetry off, vector store and history on disk."""

    def __init__(self, folder: Path, server: ModelServer, reply: Reply) -> None:
        # mem0 reads these at import, and writes to the home directory otherwise.
        os.environ["MEM0_TELEMETRY"] = "False"
        os.environ["MEM0_DIR"] = str(folder / "mem0")
        # As after ``pip install mem0ai``; with fastembed it would wait for a download.
        sys.modules.setdefault("fastembed", None)  # type: ignore[arg-type]
        import mem0  # type: ignore[import-untyped]
        from mem0.embeddings.base import EmbeddingBase  # type: ignore[import-untyped]
        from mem0.utils.factory import EmbedderFactory  # type: ignore[import-untyped]

        hashing = HashingEmbedder(DIMENSION)

        class Embedding(EmbeddingBase):  # type: ignore[misc, unused-ignore]
            def embed(self, text: str, memory_action: str | None = None) -> list[float]:
                return list(hashing.embed([text], "document")[0])

        EmbedderFactory.create = lambda *_: Embedding()
        # mem0 warns at every start that its extras are not installed.
        logging.getLogger("mem0").setLevel(logging.ERROR)
        self._reply = reply
        reply.say = self._answer
        store = {"path": str(folder / "mem0" / "qdrant"), "embedding_model_dims": DIMENSION}
        llm = {"model": MODEL, "api_key": "none", "openai_base_url": server.url}
        self._memory = mem0.Memory.from_config(
            {
                "vector_store": {"provider": "qdrant", "config": store},
                "history_db_path": str(folder / "mem0" / "history.db"),
                "llm": {"provider": "openai", "config": llm},
            }
        )

    def add(self, add: Add) -> int:
        """Add; return the number of facts."""
        self._reply.add = add
        messages = [
            {"role": item.get("role", "user"), "content": item["content"]} for item in add.messages
        ]
        return len(self._memory.add(messages, user_id=add.user)["results"])

    def _answer(self, add: Add, _asked: Asked) -> Mapping[str, Any]:
        return {
            "memory": [
                {"id": str(number), "text": fact.text, "attributed_to": "user"}
                for number, fact in enumerate(add.facts)
            ]
        }

    def close(self) -> None:
        self._memory.close()
        self._memory.vector_store.client.close()


class Reply:
    """Answers of the server, for the add in progress."""

    def __init__(self) -> None:
        self.add = Add(user="", messages=(), facts=())
        self.say: Callable[[Add, Asked], Mapping[str, Any]] = lambda _add, _asked: {}

    def __call__(self, asked: Asked) -> Mapping[str, Any]:
        return self.say(self.add, asked)


@frozen(kw_only=True)
class Bill:
    """Means over all adds."""

    calls: float
    tokens: float
    facts: float


def billed(
    subject: Callable[[Path, ModelServer, Reply], Subject],
    adds: Sequence[Add],
    count: Callable[[str], int],
) -> Bill:
    """Run all adds on a subject; count calls, tokens and facts."""
    reply = Reply()
    with (
        tempfile.TemporaryDirectory(prefix="bench-tokens-") as folder,
        ModelServer(answer=reply) as server,
        closing(subject(Path(folder), server, reply)) as memory,
    ):
        facts = sum(memory.add(add) for add in adds)
        asked = [item for item in server.asked if item.path.endswith("/chat/completions")]
    tokens = sum(
        count(item.text) + count(json.dumps(item.body.get("response_format", {}))) for item in asked
    )
    return Bill(calls=len(asked) / len(adds), tokens=tokens / len(adds), facts=facts / len(adds))


def counter() -> Callable[[str], int]:
    """Return a token counter with the encoding that litellm ships; tiktoken would download it."""
    found = importlib.util.find_spec("litellm")
    assert found is not None, "sh dev bench installs it"
    assert found.origin is not None, "a package with a file"
    shipped = Path(found.origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(shipped)
    import tiktoken

    encoding = tiktoken.get_encoding("cl100k_base")
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def rows_of(case: str, adds: Sequence[Add], count: Callable[[str], int]) -> Iterator[Row]:
    """Rows for both subjects on the same adds."""
    ours, theirs = billed(Ours, adds, count), billed(Mem0, adds, count)
    note = f"{len(adds)} adds; facts an add: {ours.facts:.2f} and {theirs.facts:.2f}"
    for unit, mine, other in (
        ("calls", ours.calls, theirs.calls),
        ("prompt tokens", ours.tokens, theirs.tokens),
    ):
        yield Row(
            case=f"{unit} an add, {case}",
            unit=unit,
            ours=mine,
            theirs=other,
            more_is_better=False,
            note=note,
        )


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", type=Path, nargs="?", default=DATA, help="LoCoMo's locomo10.json")
    parser.add_argument("--adds", type=int, default=100, help="adds of each size")
    arguments = parser.parse_args()
    count = counter()
    rows = list(rows_of("golden snippets", list(of_snippets()), count))
    if arguments.file.exists():
        for size in SIZES:
            adds = list(of_locomo(arguments.file, size, arguments.adds))
            rows += rows_of(f"LoCoMo, {size} messages", adds, count)
    else:
        print(f"LoCoMo is skipped: {arguments.file} does not exist; pass a copy of locomo10.json")
    met = report(
        "tokens",
        "What an add asks of the model, against mem0ai (means)",
        rows,
        subjects=("remembrancer", "mem0ai"),
        settings={"file": str(arguments.file.name), "adds": arguments.adds},
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
