"""``remembrancer doctor``: the report on healthy parts and on each kind of problem."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import field, frozen

from remembrancer import Adapter, AdapterUnavailable, Memory, load_settings
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.application.audit.health_report import Finding, HealthReport
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.doctor import examine
from remembrancer.domain.ports.embedder import Vector
from remembrancer.testing.model_server import ModelServer
from tests.helpers.clock import VirtualClock
from tests.helpers.command_line import CommandLine

pytestmark = pytest.mark.slow

TINY = "remembrancer_tinyindex:adapter"


def examined(config: dict[str, Any], **arguments: Any) -> HealthReport:
    return examine(config, environment={}, **arguments)


def of(part: str, examination: HealthReport) -> Finding:
    (finding,) = (each for each in examination.findings if each.part == part)
    return finding


def trouble(finding: Finding) -> str:
    """The problems of a part and their advice, as one text."""
    return "; ".join(f"{each.what} -> {each.advice}" for each in finding.problems)


def wrong(examination: HealthReport) -> list[str]:
    return [finding.part for finding in examination.findings if finding.problems]


def files(folder: Path) -> dict[str, bytes]:
    """The files of a folder, without the SQLite side files ``-shm`` and ``-wal``."""
    return {
        each.name: each.read_bytes()
        for each in folder.iterdir()
        if not each.name.endswith(("-shm", "-wal"))
    }


@pytest.fixture
def filled(tmp_path: Path) -> dict[str, Any]:
    """The settings of a log with one message."""
    config = {"audit_log": {"path": str(tmp_path / "app.db")}}
    with Memory.from_config(config) as memory:
        memory.add("I live in Paris.", user_id="ann")
    return config


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Callable[[Adapter], str]:
    """Register an adapter and return its provider name."""

    def register(adapter: Adapter) -> str:
        module = ModuleType("a_stranger")
        module.__dict__["adapter"] = adapter
        monkeypatch.setitem(sys.modules, "a_stranger", module)
        return "a_stranger:adapter"

    return register


class TestHealthy:
    def test_every_part_is_reported_with_its_engine(self, filled: dict[str, Any]) -> None:
        found = examined(filled)

        assert found.ok
        assert [each.part for each in found.findings] == [
            "audit_log", "key_vault", "embedder", "vector_index", "knowledge_graph",
            "language_model", "extractor", "reconciler", "reranker",
        ]  # fmt: skip
        log = of("audit_log", found)
        assert log.engine == f"SQLite {sqlite3.sqlite_version}"
        assert log.details["last_position"] == 5
        assert set(log.details["read_models"].values()) == {5}
        assert (log.details["pending"], log.details["without_vector"]) == (0, 0)
        assert of("embedder", found).details["dimension"] == 256

    def test_doctor_writes_nothing(self, filled: dict[str, Any], tmp_path: Path) -> None:
        before = files(tmp_path)

        examined(filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}})

        assert files(tmp_path) == before

    def test_missing_database_is_not_created(self, tmp_path: Path) -> None:
        found = examined({"audit_log": {"path": str(tmp_path / "new.db")}})

        assert found.ok
        assert of("audit_log", found).details["file"] == "not there yet; the first write makes it"
        assert list(tmp_path.iterdir()) == []

    def test_in_memory_stores_are_ok(self) -> None:
        assert examined({"audit_log": "memory"}).ok

    def test_third_party_store_is_reported_with_its_version(self, tmp_path: Path) -> None:
        config = {"provider": "remembrancer_jsonlines:adapter", "path": str(tmp_path / "l.jsonl")}

        log = of("audit_log", examined({"audit_log": config}))

        assert (log.problems, log.engine) == ((), f"jsonlines 0.1.0 ({tmp_path / 'l.jsonl'})")

    def test_index_that_is_up_to_date_has_no_lag(
        self, filled: dict[str, Any], tmp_path: Path
    ) -> None:
        config = filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}}
        with Memory.from_config(config) as memory:
            memory.add("I like tea.", user_id="ann")

        index = of("vector_index", examined(config))

        assert index.problems == ()
        assert index.details["events_behind"] == 0
        assert (index.engine or "").startswith("tinyindex 0.1.0")


class TestSettings:
    def test_settings_file_that_cannot_be_read_is_reported(self, tmp_path: Path) -> None:
        found = examine(tmp_path / "none.toml", environment={})

        assert wrong(found) == ["settings"]
        assert "none.toml can't be read" in trouble(of("settings", found))

    def test_wrong_section_does_not_hide_the_others(self, tmp_path: Path) -> None:
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

    def test_model_problem_is_not_reported_for_its_users(self) -> None:
        found = examined({"language_model": {"provider": "litellm"}, "extractor": "model"})

        assert wrong(found) == ["language_model"]


class TestLog:
    def test_database_of_a_newer_release_is_reported(self, filled: dict[str, Any]) -> None:
        with closing(sqlite3.connect(filled["audit_log"]["path"])) as connection:
            connection.execute("PRAGMA user_version = 99")

        found = examined(filled)

        assert wrong(found) == ["audit_log"]
        assert "upgrade remembrancer" in trouble(of("audit_log", found))

    def test_database_of_an_older_release_is_not_migrated_by_doctor(
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
    def test_file_that_is_not_a_database_is_reported(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "notes.txt").write_bytes(content)

        found = examined({"audit_log": {"path": str(tmp_path / "notes.txt")}})

        assert "is not a SQLite database" in trouble(of("audit_log", found))

    def test_database_of_another_program_is_reported(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
            connection.execute("CREATE TABLE x (y)")

        found = examined({"audit_log": {"path": str(tmp_path / "other.db")}})

        assert "another program" in trouble(of("audit_log", found))

    def test_missing_folder_is_reported(self, tmp_path: Path) -> None:
        found = examined({"audit_log": {"path": str(tmp_path / "none" / "a.db")}})

        assert "is no folder that can be written to" in trouble(of("audit_log", found))

    def test_index_of_another_embedder_is_reported(self, filled: dict[str, Any]) -> None:
        found = examined(filled | {"embedder": {"dimension": 128}})

        assert wrong(found) == ["audit_log"]
        assert "the read models are different: embedder: index was made with" in trouble(
            of("audit_log", found)
        )

    def test_log_is_reported_even_if_the_embedder_cannot_be_built(
        self, filled: dict[str, Any]
    ) -> None:
        found = examined(filled | {"embedder": {"dimension": -4}})

        assert wrong(found) == ["embedder"]
        assert of("audit_log", found).details["last_position"] == 5

    def test_documents_without_vectors_are_reported(
        self, tmp_path: Path, stranger: Callable[[Adapter], str]
    ) -> None:
        provider = stranger(Adapter(settings=Nothing, build=lambda _settings: Unreachable()))
        config = {"audit_log": {"path": str(tmp_path / "a.db")}, "embedder": provider}
        with Memory.from_config(config) as memory:
            memory.add("I live in Paris.", user_id="ann", infer=False)

        found = examined(config)

        assert "1 documents have no vector" in trouble(of("audit_log", found))

    def test_ledger_whose_last_event_is_in_the_future_is_reported(
        self, tmp_path: Path, remembrancer: CommandLine
    ) -> None:
        config = {"audit_log": {"path": str(tmp_path / "app.db")}}
        clock = VirtualClock(time=datetime(2099, 5, 3, tzinfo=UTC))
        with Memory(
            settings=load_settings(config, environment={}), overrides={"clock": clock}
        ) as memory:
            memory.add("I like tea", user_id="ann")
        finding = of("audit_log", examined(config))
        assert "the last event of user:ann was recorded at 2099" in trouble(finding)
        assert "clock_lead" in trouble(finding)
        verified = remembrancer("verify", "--db", str(tmp_path / "app.db"))
        assert verified.code == 0
        assert "user:ann: the last event was recorded in the future" in verified.out

    def test_pending_messages_are_reported(self, tmp_path: Path) -> None:
        config = {"audit_log": {"path": str(tmp_path / "a.db")}}
        with (
            Memory(
                settings=load_settings(config, environment={}), overrides={"extractor": Away()}
            ) as memory,
            pytest.raises(AdapterUnavailable),
        ):
            memory.add("I live in Paris.", user_id="ann")

        log = of("audit_log", examined(config))

        assert "1 messages wait for extraction -> run remembrancer retry" in trouble(log)


class TestEngines:
    def test_engine_that_does_not_answer_is_reported_with_its_lag(
        self, filled: dict[str, Any], tmp_path: Path
    ) -> None:
        (tmp_path / "tiny.db").mkdir()

        found = examined(
            filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}}
        )

        assert wrong(found) == ["vector_index"]
        assert "no event was delivered to it yet" in trouble(of("vector_index", found))
        assert "unable to open database file -> start it" in trouble(of("vector_index", found))

    def test_lagging_engine_without_a_worker_is_reported(
        self, filled: dict[str, Any], tmp_path: Path
    ) -> None:
        config = filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}}
        with Memory.from_config(config) as memory:
            memory.add("I like tea.", user_id="ann")
        with Memory.from_config(filled) as memory:
            memory.add("I like coffee.", user_id="ann")

        index = of("vector_index", examined(config))

        assert "events behind, and no worker is running -> start" in trouble(index)

    def test_engine_filled_under_other_settings_is_reported(
        self, filled: dict[str, Any], tmp_path: Path
    ) -> None:
        config = filled | {"vector_index": {"provider": TINY, "path": str(tmp_path / "tiny.db")}}
        with Memory.from_config(config) as memory:
            memory.add("I like tea.", user_id="ann")
        other = config | {"embedder": {"dimension": 128}}
        with Memory.from_config({**filled, "embedder": {"dimension": 128}}) as memory:
            # The index of the store; the external one stays as it was.
            memory.rebuild("read_models")

        index = of("vector_index", examined(other))

        assert "run remembrancer rebuild vector_index" in trouble(index)

    def test_engine_that_lacks_a_method_is_reported(
        self, filled: dict[str, Any], stranger: Callable[[Adapter], str]
    ) -> None:
        adapter = Adapter(settings=Nothing, build=lambda _settings, _model, _dimension: Away())

        index = of("vector_index", examined(filled | {"vector_index": stranger(adapter)}))

        assert "lacks ping()" in trouble(index)

    def test_untyped_error_of_an_engine_is_reported(
        self, filled: dict[str, Any], stranger: Callable[[Adapter], str]
    ) -> None:
        def build(_settings: Nothing, _model: str, _dimension: int) -> None:
            raise ZeroDivisionError("by zero")

        found = examined(
            filled | {"vector_index": stranger(Adapter(settings=Nothing, build=build))}
        )

        assert wrong(found) == ["vector_index"]
        assert "ZeroDivisionError: by zero -> an adapter must not" in trouble(
            of("vector_index", found)
        )


class TestModels:
    def test_missing_library_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "remembrancer.adapters.models.litellm.library.find_spec", lambda _name: None
        )

        found = examined({"language_model": {"provider": "litellm", "model": "openai/x"}})

        assert "pip install 'remembrancer[litellm]'" in trouble(of("language_model", found))

    def test_model_is_reported_and_not_called(self) -> None:
        with ModelServer() as server:
            found = examined(model_at(server))

            assert found.ok
            assert (of("language_model", found).engine or "").startswith("litellm ")
            assert server.asked == []

    def test_model_is_called_once_on_request(self) -> None:
        with ModelServer("yes") as server:
            model = of("language_model", examined(model_at(server), call=True))

            assert model.problems == ()
            assert model.details["answered_in_seconds"] > 0
            assert len(server.asked) == 1

    def test_secret_in_an_adapter_error_is_not_printed(
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


class TestCommand:
    def test_command_exits_with_0_if_every_part_is_ok(self, remembrancer: CommandLine) -> None:
        remembrancer("add", "I live in Paris.", "--user", "ann")

        outcome = remembrancer("doctor")

        assert outcome.code == 0
        assert "ok audit_log       sqlite (SQLite 3." in outcome.out

    def test_command_exits_with_1_and_advice_on_a_problem(
        self, remembrancer: CommandLine, database: Path
    ) -> None:
        database.write_bytes(b"no database at all" * 100)

        outcome = remembrancer("doctor")

        assert outcome.code == 1
        assert "!! audit_log       sqlite" in outcome.out
        assert "-> " in outcome.out

    def test_command_prints_json(self, remembrancer: CommandLine, database: Path) -> None:
        outcome = remembrancer("doctor", "--json")

        assert outcome.document["ok"] is True
        log = outcome.document["findings"][0]
        assert (log["part"], log["details"]["path"]) == ("audit_log", str(database))
        assert not database.exists()

    def test_every_command_reads_the_settings_file(
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
    """A remote embedder that does not answer."""

    @property
    def local(self) -> bool:
        """Whether it runs in this process: no."""
        return False

    def embed(self, texts: Sequence[str], purpose: str) -> list[Vector]:
        """Raise ``AdapterUnavailable``."""
        raise AdapterUnavailable("embedder", "no answer")


class Away(RulesExtractor):
    """An adapter that does not answer."""

    async def extract(self, *_: Any, **__: Any) -> Any:
        """Raise ``AdapterUnavailable``."""
        raise AdapterUnavailable("extractor", "no answer")

    def close(self) -> None:
        """Do nothing."""
