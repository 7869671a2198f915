"""Values that no release of remembrancer wrote, chosen by a seed; and calls that must meet them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from remembrancer import Memory, NotFound, RemembrancerError

ANN: dict[str, Any] = {"user_id": "ann"}
TOLD = (
    "My sister is Eve. Eve works at Acme.",
    "I live in Paris.",
    "I moved to Rome last week.",
    "I like green tea.",
)

INTEGERS = (-1, 0, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63))


def tell(memory: Memory) -> None:
    """Facts with entities, relations, a superseded fact and a deleted one."""
    for number, text in enumerate(TOLD):
        memory.add(
            {"content": text, "name": "Ann"},
            metadata={"n": number, "list": [1, "two"]},
            occurred_at=datetime(2024, 1, 1 + number, tzinfo=UTC),
            **ANN,
        )
    memory.delete(memory.get_all(limit=1, **ANN)[0].fact_id)


def mangled(value: Any, random: Random) -> Any:
    """A stored value, changed as a damaged page or another program changes it."""
    if isinstance(value, bytes) and random.random() < 0.7:
        return _mangled_bytes(value, random)
    if isinstance(value, str) and random.random() < 0.7:
        return _mangled_bytes(value.encode(), random).decode("utf-8", "replace")
    return random.choice(
        [
            random.choice(INTEGERS),
            random.random() * 10 ** random.randrange(-300, 300),
            random.randbytes(random.choice((0, 1, 3, 4, 16, 33, 100))),
            random.choice(("", "{}", "[]", "null", "[1,2", "x" * 50, '"\ufffd"', "[9e99]", "ann")),
        ]
    )


def _mangled_bytes(value: bytes, random: Random) -> bytes:
    at = random.randrange(len(value) + 1)
    return random.choice(
        [
            value[:at],
            value + random.randbytes(3),
            value[:at] + random.randbytes(2) + value[at + 2 :],
            value[:at] + b"9" * 25 + value[at:],
            b"[" * 3000,
            value.replace(b'":"', b'":1,"'),
            value.replace(b"2024", b"99999"),
        ]
    )


def calls(memory: Memory, fact_id: str) -> dict[str, Callable[[], object]]:
    """Every way to read, and the writes, of a memory."""
    return {
        "search": lambda: memory.search("Where does my sister work?", explain=True, **ANN),
        "search by filter": lambda: memory.search("tea", filters={"n": {"gte": 1}}, **ANN),
        "get_all": lambda: memory.get_all(**ANN),
        "get_all by filter": lambda: memory.get_all(filters={"list": "two"}, **ANN),
        "get": lambda: memory.get(fact_id),
        "history": lambda: memory.history(fact_id, **ANN),
        "entities": lambda: memory.entities(**ANN),
        "relations": lambda: memory.relations("Eve", **ANN),
        "graph": lambda: memory.graph(**ANN),
        "stats": lambda: memory.stats(**ANN),
        "all stats": lambda: memory.stats(),
        "dead letters": lambda: memory.dead_letters(),
        "retry": lambda: memory.retry(),
        "refill": lambda: memory.refill(),
        "add": lambda: memory.add("I moved to Oslo. Eve works at Initech.", **ANN),
        "update": lambda: memory.update(fact_id, "I like black tea."),
        "delete": lambda: memory.delete(fact_id),
        "delete_all": lambda: memory.delete_all(**ANN),
        "verify": lambda: memory.verify(),
    }


def met(memory: Memory, fact_id: str) -> list[RemembrancerError]:
    """Make every call; return the errors. One that is not typed is the test's failure."""
    errors: list[RemembrancerError] = []
    for name, call in calls(memory, fact_id).items():
        try:
            call()
        except NotFound:
            pass
        except RemembrancerError as error:
            error.add_note(name)
            errors.append(error)
    return errors
