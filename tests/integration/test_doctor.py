"""``remembrancer doctor``: what it tells of parts that are well, and of each kind of trouble."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import field, frozen
from command_line import CommandLine

from remembrancer import AdapterUnavailable, Memory, load_settings
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.application.audit.health_report import Finding, HealthReport
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.doctor import examine
from remembrancer.domain.ports.embedder import Vector
from remembrancer.testing.model_server import ModelServer
from remembrancer.wiring.registry import Adapter

TINY = "remembrancer_tinyindex:adapter"


def examined(config: dict[str, Any], **arguments: Any) -> HealthReport:
    return examine(config, environment={}, **arguments)


def of(part: str, examination: HealthReport) -> Finding:
    (finding,) = (each for each in examination.findings if each.part == part)
    return finding


def trouble(finding: Finding) -> str:
    """All that is wrong with a part, and the advice, as one text."""
    return "; ".join(f"{each.what} -> {each.advice}" for each in finding.problems)


def wrong(examination: HealthReport) -> list[str]:
    return [finding.part for finding in examination.findings if finding.problems]


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but for the side files that SQLite reads a database with."""
    return {
        each.name: each.read_bytes()
        for each in folder.iterdir()
        if not each.name.endswith(("-shm", "-wal"))
    }


@pytest.fixture
def filled(tmp_path: Path) -> dict[str, Any]:
    """The settings of a ledger with something in it."""
    config = {"audit_log": {"path": str(tmp_path / "app.db")}}
    with Memory.from_config(config) as memory:
        memory.add("I live in Paris.", user_id="ann")
    return config


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Callable[[Adapter], str]:
    """Registers an adapter, and says what it goes by."""

    def register(adapter: Adapter) -> str:
        module = ModuleType("a_stranger")
        module.__dict__["adapter"] = adapter
        monkeypatch.setitem(sys.modules, "a_stranger", module)
        return "a_stranger:adapter"

    return register


class TestWhatIsWell:
    def test_every_part_is_told_with_its_engine(self, filled: dict[str, Any]) -> None:
        found = examined(filled)

        assert found.ok
        assert [each.part for each in found.findings] == [
            "audit_log", "key_vault", "embedder", "vector_index", "knowledge_graph",
            "language_model", "extractor", "reconciler", "reranker",
        ]  # fmt: skip
        log = of("audit_log", found)
        assert log.engine == f"SQLite {sqlite3.sqlite_version}"
        assert log.details["last_position"] == 3
        assert set(log.details["read_models"].values()) == {3}
        assert (log.details["pending"], log.details["without_vector"]) == (0, 0)
        assert of("embedder", found).details["dimension"] == 256

    def test_nothing_is_written(self, filled: dict[str, Any], tmp_path: Path) -> None:
        before = files(tmp_path)

        examined(filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}})

        assert files(tmp_path) == before

    def test_a_database_that_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        found = examined({"audit_log": {"path": str(tmp_path / "new.db")}})

        assert found.ok
        assert of("audit_log", found).details["file"] == "not there yet; the first write makes it"
        assert list(tmp_path.iterdir()) == []

    def test_stores_in_memory_are_well(self) -> None:
        assert examined({"audit_log": "memory"}).ok

    def test_a_home_store_of_a_third_party_says_what_it_is(self, tmp_path: Path) -> None:
        config = {"provider": "remembrancer_jsonlines:adapter", "path": str(tmp_path / "l.jsonl")}

        log = of("audit_log", examined({"audit_log": config}))

        assert (log.problems, log.engine) == ((), f"jsonlines 0.1.0 ({tmp_path / 'l.jsonl'})")

    def test_an_index_that_is_fed_has_no_lag(self, filled: dict[str, Any], tmp_path: Path) -> None:
        config = filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}}
        with Memory.from_config(config) as memory:
            memory.add("I like tea.", user_id="ann")

        index = of("vector_index", examined(config))

        assert index.problems == ()
        assert index.details["events_behind"] == 0
        assert (index.engine or "").startswith("tinyindex 0.1.0")


class TestSettings:
    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        found = examine(tmp_path / "none.toml", environment={})

        assert wrong(found) == ["settings"]
        assert "none.toml can't be read" in trouble(of("settings", found))

    def test_a_section_that_is_wrong_does_not_hide_the_others(self, tmp_path: Path) -> None:
        found = examined(
            {
                "audit_log": {"path": str(tmp_path / "a.db"), "durabilty": "full"},
                "embedder": {"provider": "hashng"},
                "patience": "long",
                "languagemodel": {},
            }
        )

        assert sorted(wrong(found)) == ["audit_log", "embedder", "languagemodel", "patience"]
        assert "did you mean durability?" in trouble(of("audit_log", found))
        assert "did you mean hashing?" in trouble(of("embedder", found))
        assert of("vector_index", found).problems == ()

    def test_those_that_ask_a_model_are_not_to_blame_for_it(self) -> None:
        found = examined({"language_model": {"provider": "litellm"}, "extractor": "model"})

        assert wrong(found) == ["language_model"]


class TestTheLog:
    def test_a_file_of_a_newer_release(self, filled: dict[str, Any]) -> None:
        with closing(sqlite3.connect(filled["audit_log"]["path"])) as connection:
            connection.execute("PRAGMA user_version = 99")

        found = examined(filled)

        assert wrong(found) == ["audit_log"]
        assert "upgrade remembrancer" in trouble(of("audit_log", found))

    def test_a_file_of_an_older_release_is_migrated_by_the_next_opening_not_by_this(
        self, filled: dict[str, Any]
    ) -> None:
        path = filled["audit_log"]["path"]
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 1")

        log = of("audit_log", examined(filled))

        assert "the next opening migrates it" in log.details["schema"]
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (1,)

    @pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0junk"])
    def test_a_file_that_is_no_database(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "notes.txt").write_bytes(content)

        found = examined({"audit_log": {"path": str(tmp_path / "notes.txt")}})

        assert "is not a SQLite database" in trouble(of("audit_log", found))

    def test_the_database_of_another_program(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
            connection.execute("CREATE TABLE x (y)")

        found = examined({"audit_log": {"path": str(tmp_path / "other.db")}})

        assert "another program" in trouble(of("audit_log", found))

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        found = examined({"audit_log": {"path": str(tmp_path / "none" / "a.db")}})

        assert "is no folder that can be written to" in trouble(of("audit_log", found))

    def test_an_index_that_another_embedder_filled(self, filled: dict[str, Any]) -> None:
        found = examined(filled | {"embedder": {"dimension": 128}})

        assert wrong(found) == ["audit_log"]
        assert "the read models are damaged" in trouble(of("audit_log", found))

    def test_a_log_is_told_even_if_the_embedder_cannot_be_made(
        self, filled: dict[str, Any]
    ) -> None:
        found = examined(filled | {"embedder": {"dimension": -4}})

        assert wrong(found) == ["embedder"]
        assert of("audit_log", found).details["last_position"] == 3

    def test_documents_without_vectors(
        self, tmp_path: Path, stranger: Callable[[Adapter], str]
    ) -> None:
        provider = stranger(Adapter(settings=Nothing, build=lambda _settings: Unreachable()))
        config = {"audit_log": {"path": str(tmp_path / "a.db")}, "embedder": provider}
        with Memory.from_config(config) as memory:
            memory.add("I live in Paris.", user_id="ann", infer=False)

        found = examined(config)

        assert "1 documents have no vector" in trouble(of("audit_log", found))

    def test_messages_that_wait_for_a_model(self, tmp_path: Path) -> None:
        config = {"audit_log": {"path": str(tmp_path / "a.db")}}
        with (
            Memory(
                settings=load_settings(config, environment={}), overrides={"extractor": Away()}
            ) as memory,
            pytest.raises(AdapterUnavailable),
        ):
            memory.add("I live in Paris.", user_id="ann")

        log = of("audit_log", examined(config))

        assert "1 messages wait for a model -> run remembrancer retry" in trouble(log)


class TestEngines:
    def test_one_that_does_not_answer_is_told_with_its_lag(
        self, filled: dict[str, Any], tmp_path: Path
    ) -> None:
        (tmp_path / "tiny.db").mkdir()

        found = examined(
            filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}}
        )

        assert wrong(found) == ["vector_index"]
        assert "it has never been fed" in trouble(of("vector_index", found))
        assert "unable to open database file -> start it" in trouble(of("vector_index", found))

    def test_one_that_lags_with_nobody_at_work(
        self, filled: dict[str, Any], tmp_path: Path
    ) -> None:
        config = filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}}
        with Memory.from_config(config) as memory:
            memory.add("I like tea.", user_id="ann")
        with Memory.from_config(filled) as memory:
            memory.add("I like coffee.", user_id="ann")

        index = of("vector_index", examined(config))

        assert "events behind, and nobody at work -> start remembrancer worker" in trouble(index)

    def test_one_that_was_fed_under_other_settings(
        self, filled: dict[str, Any], tmp_path: Path
    ) -> None:
        config = filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}}
        with Memory.from_config(config) as memory:
            memory.add("I like tea.", user_id="ann")
        other = config | {"embedder": {"dimension": 128}}
        with Memory.from_config({**filled, "embedder": {"dimension": 128}}):
            """The log's own index is made anew; the external one is left as it was."""

        index = of("vector_index", examined(other))

        assert "run remembrancer rebuild vector_index" in trouble(index)

    def test_one_that_lacks_what_it_needs(
        self, filled: dict[str, Any], stranger: Callable[[Adapter], str]
    ) -> None:
        adapter = Adapter(settings=Nothing, build=lambda _settings, _model, _dimension: Away())

        index = of("vector_index", examined(filled | {"vector_index": stranger(adapter)}))

        assert "lacks ping()" in trouble(index)

    def test_one_that_raises_what_no_adapter_should(
        self, filled: dict[str, Any], stranger: Callable[[Adapter], str]
    ) -> None:
        def build(_settings: Nothing, _model: str, _dimension: int) -> None:
            raise ZeroDivisionError("by zero")

        found = examined(
            filled | {"vector_index": stranger(Adapter(settings=Nothing, build=build))}
        )

        assert wrong(found) == ["vector_index"]
        assert "ZeroDivisionError: by zero -> an adapter should not" in trouble(
            of("vector_index", found)
        )


class TestModels:
    def test_a_library_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "remembrancer.adapters.models.litellm.library.find_spec", lambda _name: None
        )

        found = examined({"language_model": {"provider": "litellm", "model": "openai/x"}})

        assert "pip install 'remembrancer[litellm]'" in trouble(of("language_model", found))

    def test_a_model_is_told_and_not_called(self) -> None:
        with ModelServer() as server:
            found = examined(model_at(server))

            assert found.ok
            assert (of("language_model", found).engine or "").startswith("litellm ")
            assert server.asked == []

    def test_it_is_called_once_if_that_is_asked_for(self) -> None:
        with ModelServer("yes") as server:
            model = of("language_model", examined(model_at(server), call=True))

            assert model.problems == ()
            assert model.details["answered_in_seconds"] > 0
            assert len(server.asked) == 1

    def test_a_secret_that_an_adapter_gives_away_is_not_printed(
        self, stranger: Callable[[Adapter], str]
    ) -> None:
        def build(settings: Keyed) -> None:
            raise AdapterUnavailable("keyed", f"tried {settings.key} and {settings.url}")

        provider = stranger(Adapter(settings=Keyed, build=build))
        found = examined(
            {
                "embedder": {
                    "provider": provider,
                    "key": "sk-1234567",
                    "url": "postgres://ann:pass%2Fword@host/db",
                }
            }
        )

        assert "tried *** and ***" in trouble(of("embedder", found))
        assert not any(part in str(found) for part in ("sk-1234567", "pass%2Fword", "pass/word"))


class TestTheCommand:
    def test_it_is_drawn_and_ends_with_0_where_all_is_well(self, remembrancer: CommandLine) -> None:
        remembrancer("add", "I live in Paris.", "--user", "ann")

        outcome = remembrancer("doctor")

        assert outcome.code == 0
        assert "ok audit_log       sqlite (SQLite 3." in outcome.out

    def test_it_ends_with_1_and_an_advice_where_something_is_wrong(
        self, remembrancer: CommandLine, database: Path
    ) -> None:
        database.write_bytes(b"no database at all" * 100)

        outcome = remembrancer("doctor")

        assert outcome.code == 1
        assert "!! audit_log       sqlite" in outcome.out
        assert "-> " in outcome.out

    def test_it_answers_with_json(self, remembrancer: CommandLine, database: Path) -> None:
        outcome = remembrancer("doctor", "--json")

        assert outcome.document["ok"] is True
        log = outcome.document["findings"][0]
        assert (log["part"], log["details"]["path"]) == ("audit_log", str(database))
        assert not database.exists()

    def test_settings_come_from_a_file_for_every_command(
        self, remembrancer: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("REMEMBRANCER_DB")
        monkeypatch.chdir(tmp_path)
        Path("remembrancer.toml").write_text(
            '[audit_log]\nprovider = "remembrancer_jsonlines:adapter"\npath = "ledger.jsonl"\n'
        )
        monkeypatch.setenv("REMEMBRANCER_CONFIG", "remembrancer.toml")

        remembrancer("add", "I live in Paris.", "--user", "ann")

        assert "I live in Paris." in remembrancer("list", "--user", "ann").out
        assert remembrancer("doctor").code == 0
        assert sorted(each.name for each in tmp_path.iterdir()) == [
            "ledger.jsonl",
            "remembrancer.toml",
        ]


def model_at(server: ModelServer) -> dict[str, Any]:
    return {
        "language_model": {
            "provider": "litellm",
            "model": "openai/test",
            "base_url": server.url,
            "api_key": "sk-nobodys",
        }
    }


@frozen(kw_only=True)
class Nothing:
    """No settings."""


@frozen(kw_only=True)
class Keyed:
    """Settings with secrets in them."""

    key: str = field(repr=False)
    url: str = field(repr=False)


class Unreachable(HashingEmbedder):
    """An embedder that is somewhere else, and does not answer."""

    @property
    def local(self) -> bool:
        """It is not."""
        return False

    def embed(self, texts: Sequence[str], purpose: str) -> list[Vector]:
        """Never answer."""
        raise AdapterUnavailable("embedder", "no answer")


class Away(RulesExtractor):
    """What answers nothing."""

    async def extract(self, *_: Any, **__: Any) -> Any:
        """Never answer."""
        raise AdapterUnavailable("extractor", "no answer")

    def close(self) -> None:
        """Nothing to let go of."""
