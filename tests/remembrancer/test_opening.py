"""Opening changes nothing that is there: other settings are refused, damage is reported."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from remembrancer import InvalidRequest, Memory
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.stores.postgres.vector_index.index import PostgresVectorIndex
from remembrancer.adapters.stores.sqlite import read_models
from remembrancer.adapters.stores.sqlite.vector_index.index import SqliteVectorIndex
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError
from remembrancer.wiring.settings import load_settings

ANN: dict[str, Any] = {"user_id": "ann"}
Open: TypeAlias = Callable[..., Memory]


class PaidEmbedder:
    """A remote embedder that counts the texts it embeds."""

    local = False

    def __init__(self, model: str = "paid/one") -> None:
        self.model = model
        self.dimension = 8
        self.texts: list[str] = []
        self.down = False

    def embed(self, texts: Sequence[str], purpose: str) -> Sequence[Sequence[float]]:
        if self.down:
            raise AdapterUnavailable("paid", "is down")
        self.texts += texts
        return HashingEmbedder(8).embed(texts, "document")


@pytest.fixture(params=["sqlite", "postgres"])
def open_(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    if request.param == "sqlite":
        log: dict[str, Any] = {"path": str(tmp_path / "app.db")}
    else:
        postgres = request.getfixturevalue("postgres")
        log = {name: getattr(postgres, name) for name in ("dsn", "schema", "partitions")}
        log["provider"] = "postgres"
    made: list[Memory] = []

    def open_(embedder: PaidEmbedder | None = None, **options: Any) -> Memory:
        settings = load_settings({"audit_log": log}, environment={})
        overrides = {} if embedder is None else {"embedder": embedder}
        made.append(Memory(settings=settings, overrides=overrides, **options))
        return made[-1]

    yield open_
    for memory in made:
        memory.close()


def seen(memory: Memory) -> list[str]:
    return [fact.text for fact in memory.get_all(order="created_at", **ANN).facts]


def test_command_with_other_settings_changes_nothing(
    open_: Open, caplog: pytest.LogCaptureFixture
) -> None:
    # Given an application with paid vectors
    embedder = PaidEmbedder()
    application = open_(embedder)
    receipt = application.add(["I like tea. I have a cat."], **ANN)
    paid = len(embedder.texts)
    # When the memory is opened without the application's settings
    other = open_()
    # Then this is reported, and what needs no embedder works
    assert "index was made with" in caplog.text
    assert "paid/one/8" in caplog.text
    assert "/256" in caplog.text
    assert "remembrancer rebuild read_models" in caplog.text
    assert seen(other) == seen(application)
    assert other.history(receipt.verdicts[0].fact_id or "")
    assert other.stats().positions == application.stats().positions
    verification = other.verify()
    assert verification.ok
    (unchecked,) = verification.unchecked
    assert unchecked.what == "the index"
    assert "paid/one/8" in unchecked.why
    assert "/256" in unchecked.why
    # And searches, writes and maintenance are refused
    refused: list[Callable[[], object]] = [
        lambda: other.search("tea", **ANN),
        lambda: other.add("I like rain.", **ANN),
        lambda: other.add("I like rain.", infer=False, **ANN),
        lambda: other.update(receipt.verdicts[0].fact_id or "", "I like mate."),
        lambda: other.delete(receipt.verdicts[0].fact_id or ""),
        other.refill,
        other.compact,
    ]
    for call in refused:
        with pytest.raises(InvalidRequest, match=r"paid/one/8, .*/256.*rebuild read_models"):
            call()
    # And the application goes on, and pays for nothing again
    found = application.search("tea", **ANN)
    assert found.degraded == ()
    application.add("I like snow.", **ANN)
    assert len(embedder.texts) <= paid + 2
    assert application.stats().last_position == other.stats().last_position


@pytest.mark.parametrize("index", [SqliteVectorIndex, PostgresVectorIndex])
def test_newer_release_does_not_stop_a_running_older_one(
    open_: Open, index: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a running memory, and a release whose index has another format
    older = open_()
    older.add("I like tea.", **ANN)
    with monkeypatch.context() as patch:
        fingerprint = index.fingerprint.fget
        patch.setattr(index, "fingerprint", property(lambda self: f"9.{fingerprint(self)}"))
        # When the newer one is opened
        newer = open_()
        if newer._inner._lifecycle.container.readiness().refusal is None:
            pytest.skip("the index of the other store")
        # Then it reads, and the older one writes
        assert seen(newer) == ["I like tea."]
    older.add("I like rain.", **ANN)
    assert older.verify().ok


def test_memory_of_another_embedder_calls_no_model_before_it_is_refused(open_: Open) -> None:
    open_(PaidEmbedder()).add("I like tea.", **ANN)
    other = PaidEmbedder("paid/other")
    memory = open_(other)
    with pytest.raises(InvalidRequest, match="paid/one/8, this memory has"):
        memory.add("I like rain.", **ANN)
    with pytest.raises(InvalidRequest):
        memory.search("rain", **ANN)
    assert other.texts == []


def test_vectors_of_another_model_survive_a_rebuild(open_: Open) -> None:
    # Given paid vectors, and a rebuild for another model
    first = PaidEmbedder()
    open_(first).add("I like tea. I have a cat.", **ANN)
    second = open_(PaidEmbedder("paid/two"))
    second.rebuild("read_models")
    assert second.refill() == 2
    assert second.search("tea", **ANN).degraded == ()
    # When it is rebuilt for the first model again
    first.texts.clear()
    again = open_(first)
    again.rebuild("read_models")
    # Then no text is embedded again
    assert again.refill() == 0
    assert first.texts == []
    assert again.search("tea", **ANN).degraded == ()


def test_document_without_its_vector_is_degraded(open_: Open) -> None:
    # Given a fact that was added while the embedder was down, and another user's
    embedder = PaidEmbedder()
    memory = open_(embedder)
    memory.add("I like rain.", user_id="bob")
    embedder.down = True
    memory.add("I like tea.", **ANN)
    embedder.down = False
    # Then a search that may miss it says so
    assert memory.search("Which drink?", **ANN).degraded == ("similarity",)
    assert memory.search("Which weather?", user_id="bob").degraded == ()
    assert memory.refill() == 1
    assert memory.search("Which drink?", **ANN).degraded == ()


def test_first_write_decides_on_the_embedder(open_: Open) -> None:
    # Given an application that has written nothing yet, and a command with other settings
    application = open_(PaidEmbedder())
    open_().stats()
    # Then the application writes first, and searches
    application.add("I like tea.", **ANN)
    assert application.search("tea", **ANN).degraded == ()
    assert application.verify().ok
    # And the other one is refused from now on
    with pytest.raises(InvalidRequest, match="paid/one/8, this memory has"):
        open_().add("I like rain.", **ANN)


def test_store_without_a_rebuild_says_so() -> None:
    with (
        Memory.from_config({"audit_log": "memory"}) as memory,
        pytest.raises(InvalidRequest, match="makes its read models when it is opened"),
    ):
        memory.rebuild("read_models")


# SQLite alone


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


def test_interrupted_catching_up_keeps_what_was_applied(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given read models that are several pages behind
    with Memory(file) as memory:
        for text in ("I like tea.", "I like rain.", "I like snow."):
            memory.add(text, **ANN)
        last = memory.stats().last_position
    forget_read_models(file)
    monkeypatch.setattr(read_models, "PAGE", 1)
    # When catching up is interrupted
    steps: list[int] = []

    def step(_: str, done: int, total: int) -> None:
        steps.append(done)
        if steps == [1, 2, 3, 4]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Memory(file, on_rebuild=step)
    # Then the next opening goes on from there
    with Memory(file, on_rebuild=step) as memory:
        assert steps == [1, 2, 3, 4, *range(4, last + 1)]
        assert memory.verify().ok


def forget_read_models(file: Path) -> None:
    """Drop all tables except those of the log."""
    kept = {"ledger", "event", "request", "projection", "feed", "dead_letter", "worker"}
    kept |= {"sqlite_sequence"}
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for name in {name for (name,) in found} - kept:
            connection.execute(f"DROP TABLE {name}")
        connection.execute("DELETE FROM projection")


def test_table_that_was_dropped_is_reported_with_the_command(file: Path) -> None:
    with Memory(file) as memory:
        memory.add("I like tea.", **ANN)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("DROP TABLE fact")
    with Memory(file) as memory:
        with pytest.raises(IntegrityError, match="rebuild read_models"):
            memory.get_all(**ANN)
        with pytest.raises(IntegrityError, match="rebuild read_models"):
            memory.add("I like rain.", **ANN)
        memory.rebuild("read_models")
        assert seen(memory) == ["I like tea."]


def test_read_only_memory_with_other_settings_reads(file: Path) -> None:
    with Memory(file) as memory:
        memory.add("I like tea.", **ANN)
    config = {"audit_log": {"path": str(file), "read_only": True}, "embedder": {"dimension": 16}}
    with Memory(settings=load_settings(config, environment={})) as memory:
        assert seen(memory) == ["I like tea."]
