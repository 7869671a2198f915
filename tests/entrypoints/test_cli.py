"""The commands of the command line: output, JSON and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.command_line import CommandLine, on_terminal, start

pytestmark = pytest.mark.slow

ID = re.compile(r"\b[0-9a-f]{32}\b")
COMMANDS = (
    "demo", "add", "ingest", "state", "search", "context", "profile", "list", "get", "history",
    "graph", "diff", "timeline", "why", "why-not", "undo", "update", "correct", "end", "delete",
    "retry", "stats", "verify", "worker", "rebuild", "compact", "dead", "doctor",
)  # fmt: skip
WITH_SCOPE = ", ".join(COMMANDS[1 : COMMANDS.index("stats")]) + " and stats"


def remember(remembrancer: CommandLine, text: str, *options: str, stdin: bytes = b"") -> str:
    """Store a text verbatim and return the id of its fact."""
    outcome = remembrancer(
        "add", text, "--user", "ana", "--no-infer", "--json", *options, stdin=stdin
    )
    fact_id: str = outcome.document["receipt"]["verdicts"][0]["fact_id"]
    return fact_id


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_has_help_with_its_options(
        self, remembrancer: CommandLine, command: str
    ) -> None:
        outcome = remembrancer(command, "--help")

        assert outcome.code == 0
        assert "--json" in outcome.out
        assert "--db" in outcome.out

    def test_help_lists_every_command(self, remembrancer: CommandLine) -> None:
        outcome = remembrancer()

        assert outcome.code == 0
        listed = re.findall(r"^  ([\w-]+)  ", outcome.out.partition("Commands:\n")[2], re.MULTILINE)
        assert listed == list(COMMANDS)

    def test_version_option_prints_the_version(self, remembrancer: CommandLine) -> None:
        outcome = remembrancer("--version")

        assert re.fullmatch(r"remembrancer \d+\.\d+\.\d+\S*\n", outcome.out)

    def test_help_imports_neither_the_memory_nor_rich(self) -> None:
        program = (
            "import sys\n"
            "from remembrancer.entrypoints.cli.main import run\n"
            "run(['--help'])\n"
            "heavy = ('numpy', 'rich', 'remembrancer.memory')\n"
            "print([name for name in heavy if name in sys.modules])"
        )

        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )

        assert result.stdout.endswith("[]\n")


class TestPlaceOfOptions:
    def test_common_options_before_the_command_mean_the_same(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        other = tmp_path / "other.db"
        remembrancer("add", "I sold the boat", "--user", "ana", "--run", "r1", "--db", str(other))
        options = ("--db", str(other), "--user", "ana", "--run-id", "r1", "--json")

        before = remembrancer(*options, "list")
        after = remembrancer("list", *options)

        assert [fact["text"] for fact in before.document["facts"]] == ["I sold the boat"]
        assert before == after

    def test_settings_before_the_command_are_used(
        self, remembrancer: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("REMEMBRANCER_DB")
        chosen, settings = tmp_path / "chosen.db", tmp_path / "settings.toml"
        settings.write_text(f"[audit_log]\npath = {json.dumps(str(chosen))}\n")

        outcome = remembrancer("--config", str(settings), "--user", "ana", "add", "a boat")

        assert outcome.code == 0
        assert chosen.exists()

    def test_option_before_the_command_overrides_the_variable(
        self, remembrancer: CommandLine, database: Path, tmp_path: Path
    ) -> None:
        outcome = remembrancer("--db", str(tmp_path / "other.db"), "--user", "ana", "add", "a boat")

        assert outcome.code == 0
        assert (tmp_path / "other.db").exists()
        assert not database.exists()

    def test_option_after_the_command_overrides_the_one_before(
        self, remembrancer: CommandLine, database: Path, tmp_path: Path
    ) -> None:
        remember(remembrancer, "I sold the boat")
        wrong = ("--db", str(tmp_path / "none.db"), "--user", "ben", "--json")

        page = remembrancer(*wrong, "list", "--db", str(database), "--user", "ana").document

        assert [fact["text"] for fact in page["facts"]] == ["I sold the boat"]

    def test_ids_before_and_after_the_command_are_combined(self, remembrancer: CommandLine) -> None:
        remembrancer("--user", "ana", "--run", "r1", "add", "a boat", "--agent", "bot")

        (fact,) = remembrancer("list", "--user", "ana", "--json").document["facts"]

        assert fact["scope"] == {
            "user_id": "ana", "agent_id": "bot", "run_id": "r1", "app_id": None
        }  # fmt: skip

    def test_database_before_the_demo_is_kept(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        outcome = remembrancer("--db", str(tmp_path / "kept.db"), "demo")

        assert outcome.code == 0
        assert (tmp_path / "kept.db").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--limit", "3", "search", "tea"),
             "--limit belongs after the command: remembrancer search ... --limit."),
            (("--limit=3", "--user", "ana", "list"),
             "--limit belongs after the command: remembrancer list ... --limit."),
            (("--no-rerank", "search", "tea"),
             "--no-rerank belongs after the command: remembrancer search ... --no-rerank."),
            (("--limit", "3", "get", "tea"),
             "--limit belongs after the command; it is an option of search, list, graph, "
             "timeline and why-not."),
            (("get", "tea", "--limit", "3"),
             "get has no option --limit; it belongs to search, list, graph, timeline and "
             "why-not."),
            (("demo", "--metrics-port", "1"),
             "demo has no option --metrics-port; it belongs to worker."),
            (("verify", "--user", "ana"),
             f"verify has no option --user; it belongs to {WITH_SCOPE}."),
            (("--user", "ana", "verify"),
             f"verify has no option --user; it belongs to {WITH_SCOPE}."),
            (("search", "tea", "--version"),
             "--version belongs before the command: remembrancer --version."),
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_option_in_the_wrong_place_is_refused_with_the_right_one(
        self, remembrancer: CommandLine, arguments: tuple[str, ...], message: str
    ) -> None:
        plain, as_json = remembrancer(*arguments), remembrancer(*arguments, "--json")

        assert (plain.code, plain.out) == (as_json.code, as_json.out) == (2, "")
        assert plain.err.endswith(f"error: {message}\n")
        assert (as_json.error["type"], as_json.error["message"]) == ("UsageError", message)

    @pytest.mark.parametrize("arguments", [("--usre", "ana", "list"), ("list", "--usre", "ana")])
    def test_option_that_exists_nowhere_is_refused_with_the_nearest_one(
        self, remembrancer: CommandLine, arguments: tuple[str, ...]
    ) -> None:
        outcome = remembrancer(*arguments)

        assert outcome.code == 2
        assert "--usre" in outcome.err
        assert "--user" in outcome.err


class TestAdd:
    def test_facts_are_extracted_from_the_text(self, remembrancer: CommandLine) -> None:
        outcome = remembrancer("add", "Hi! I live in Paris.", "--user", "ana", "--name", "Ana")

        assert outcome.code == 0
        assert "I live in Paris." in outcome.out
        assert "left out (small talk): Hi!" in outcome.out

    def test_rivals_are_told_in_receipt_listing_and_fact(self, remembrancer: CommandLine) -> None:
        told = remembrancer("add", "I live in Paris.", "--user", "ana", "--json")
        first = told.document["receipt"]["verdicts"][0]["fact_id"]
        outcome = remembrancer("add", "I live in Rome.", "--user", "ana")

        assert f"(rival of {first})" in outcome.out
        assert f"(rival of {first})" in remembrancer("list", "--user", "ana").out
        assert f"(rival of {first})" in remembrancer("search", "live", "--user", "ana").out
        assert "rivals" in remembrancer("get", first).out

    def test_text_is_read_from_standard_input(self, remembrancer: CommandLine) -> None:
        outcome = remembrancer(
            "add", "-", "--user", "ana", "--no-infer", "--json", stdin="Grüße aus Köln\n".encode()
        )

        assert outcome.document["receipt"]["verdicts"][0]["text"] == "Grüße aus Köln"

    def test_bytes_that_are_not_utf8_are_refused(self, remembrancer: CommandLine) -> None:
        outcome = remembrancer("add", "-", "--user", "ana", stdin=b"\xff\xfe")

        assert outcome.code == 1
        assert "text: is not UTF-8" in outcome.err

    def test_options_of_a_message_are_stored(self, remembrancer: CommandLine) -> None:
        fact_id = remember(
            remembrancer, "I sold the boat", "--name", "Ana", "--role", "assistant",
            "--at", "2024-03-01", "--expires", "2099-01-01T00:00+01:00",
            "--metadata", "topic=boats", "--metadata", '{"level": 3}',
        )  # fmt: skip

        fact = remembrancer("get", fact_id, "--json").document["fact"]

        assert fact["speaker"] == "Ana"
        assert fact["occurred_at"] == "2024-03-01T00:00:00+00:00"
        assert fact["expires_at"] == "2099-01-01T00:00:00+01:00"
        assert fact["metadata"] == {"topic": "boats", "level": 3}

    def test_same_key_is_added_once(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat", "--key", "k1")
        again = remembrancer(
            "add", "I sold the boat", "--user", "ana", "--no-infer", "--key", "k1", "--json"
        )

        assert again.document["receipt"]["replayed"] is True
        assert len(remembrancer("list", "--user", "ana", "--json").document["facts"]) == 1

    @pytest.mark.parametrize(
        ("guidance", "named"),
        [
            ("Only what is about health.", ["instructions"]),
            ('{"include": ["health"], "categories": ["body"]}', ["include", "categories"]),
        ],
    )
    def test_guidance_is_reported_as_ignored_without_a_model(
        self, remembrancer: CommandLine, guidance: str, named: list[str]
    ) -> None:
        asked = ("add", "I weigh 82 kg.", "--user", "ana", "--guidance", guidance)

        assert remembrancer(*asked, "--json").document["receipt"]["ignored"] == named
        assert f"Guidance was ignored ({', '.join(named)})" in remembrancer(*asked).out

    def test_unknown_guidance_is_a_usage_error(self, remembrancer: CommandLine) -> None:
        outcome = remembrancer("add", "x", "--user", "ana", "--guidance", '{"topics": ["health"]}')

        assert outcome.code == 2
        assert "topics: unknown; there are instructions, include" in outcome.err

    def test_guidance_of_a_wrong_type_is_refused(self, remembrancer: CommandLine) -> None:
        outcome = remembrancer("add", "x", "--user", "ana", "--guidance", '{"include": 3}')

        assert outcome.code == 1
        assert "include: " in outcome.err

    def test_procedural_run_becomes_one_fact(self, remembrancer: CommandLine) -> None:
        said = "Searched trains for 12 May. Booked train 121."
        remembrancer(
            "add", said, "--role", "assistant", "--agent", "booker", "--kind", "procedural"
        )

        (fact,) = remembrancer("list", "--agent", "booker", "--json").document["facts"]

        assert fact["kind"] == "procedural"

    def test_metadata_that_is_neither_a_pair_nor_json_is_a_usage_error(
        self, remembrancer: CommandLine
    ) -> None:
        outcome = remembrancer("add", "x", "--user", "ana", "--metadata", "boats")

        assert outcome.code == 2
        assert "neither KEY=VALUE nor a JSON object" in outcome.err


class TestReading:
    def test_search_prints_score_id_date_speaker_and_text(self, remembrancer: CommandLine) -> None:
        fact_id = remember(remembrancer, "I sold the boat", "--name", "Ana", "--at", "2024-03-01")

        outcome = remembrancer("search", "boat", "--user", "ana")

        header, line = outcome.out.splitlines()
        assert header.split() == ["SCORE", "ID", "SAID", "SPEAKER", "TEXT"]
        assert re.fullmatch(rf"[01]\.\d\d   {fact_id}  2024-03-01  Ana      I sold the boat", line)

    def test_search_prints_signals_with_explain(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat")

        plain = remembrancer("search", "boat", "--user", "ana", "--json").document
        explained = remembrancer("search", "boat", "--user", "ana", "--json", "--explain").document

        assert "signals" not in plain["results"][0]
        assert explained["results"][0]["signals"]
        assert "SIGNALS" in remembrancer("search", "boat", "--user", "ana", "--explain").out

    def test_filter_limit_and_threshold_narrow_a_search(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat", "--name", "Ana")
        remember(remembrancer, "I like the boat", "--name", "Ben")

        def found(*options: str) -> list[str]:
            results = remembrancer("search", "boat", "--user", "ana", "--json", *options).document
            return sorted(result["fact"]["text"] for result in results["results"])

        assert len(found()) == 2
        assert found("--filter", '{"speaker": "Ben"}') == ["I like the boat"]
        assert len(found("--limit", "1")) == 1
        assert found("--threshold", "1") == []

    def test_as_of_and_valid_at_read_the_past(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat", "--at", "2024-03-01")

        def found(*options: str) -> int:
            outcome = remembrancer("search", "boat", "--user", "ana", "--json", *options)
            return len(outcome.document["results"])

        assert found("--valid-at", "2024-03-02") == 1
        assert found("--valid-at", "2024-02-01") == 0
        assert found("--as-of", "2024-03-02T10:00Z") == 0

    def test_every_read_takes_a_version_of_the_ledger(self, remembrancer: CommandLine) -> None:
        fact_id = remember(remembrancer, "I sold the boat")
        remembrancer("update", fact_id, "I sold the old boat")
        then = ("--user", "ana", "--as-of", "@2", "--json")

        def text(*words: str) -> object:
            return remembrancer(*words, *then).document

        assert text("get", fact_id)["fact"]["text"] == "I sold the boat"  # type: ignore[index]
        for words in (("search", "boat"), ("list",), ("history", fact_id), ("graph",), ("stats",)):
            assert "old boat" not in str(text(*words))
        assert remembrancer("stats", *then).document["events"] == 4
        refused = remembrancer("list", "--user", "ana", "--as-of", "@99")
        assert refused.code == 1
        assert "as_of: there is no version @99. user:ana has @1 (" in refused.err
        assert remembrancer("list", "--user", "ana", "--as-of", "then").code == 2

    def test_get_and_history_take_a_valid_time(self, remembrancer: CommandLine) -> None:
        fact_id = remember(remembrancer, "I sold the boat", "--at", "2024-03-01")
        early = ("--valid-at", "2024-02-01")
        assert remembrancer("get", fact_id, *early).code == 1
        assert remembrancer("history", fact_id, *early).out == (
            "No version of the fact holds then.\n"
        )
        assert len(remembrancer("history", fact_id, "--json").document["versions"]) == 1

    def test_list_counts_all_pages_if_asked(self, remembrancer: CommandLine) -> None:
        for text in ("one boat", "two boats", "three boats"):
            remember(remembrancer, text)
        listed = remembrancer("list", "--user", "ana", "--limit", "2", "--total")
        assert listed.err.startswith("2 of 3 facts.\nMore: --cursor ")
        document = remembrancer("list", "--user", "ana", "--total", "--json").document
        assert document["total"] == 3

    def test_page_names_the_cursor_of_the_next(self, remembrancer: CommandLine) -> None:
        for text in ("one boat", "two boats", "three boats"):
            remember(remembrancer, text)

        first = remembrancer("list", "--user", "ana", "--limit", "2", "--json").document
        second = remembrancer(
            "list", "--user", "ana", "--limit", "2", "--cursor", first["cursor"], "--json"
        ).document

        assert [fact["text"] for fact in first["facts"]] == ["three boats", "two boats"]
        assert [fact["text"] for fact in second["facts"]] == ["one boat"]
        assert second["cursor"] is None
        assert remembrancer("list", "--user", "ana", "--limit", "2").err.startswith(
            "More: --cursor "
        )

    def test_list_is_ordered_and_filtered(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "later", "--at", "2024-03-02")
        remember(remembrancer, "earlier", "--at", "2024-03-01")

        def listed(*options: str) -> list[str]:
            page = remembrancer("list", "--user", "ana", "--json", *options).document
            return [fact["text"] for fact in page["facts"]]

        assert listed("--order", "occurred_at") == ["earlier", "later"]
        assert listed("--order", "-occurred_at") == ["later", "earlier"]
        assert listed("--filter", '{"text": {"contains": "lat"}}') == ["later"]
        assert listed("--as-of", "2024-05-01") == []

    def test_empty_result_is_printed_and_exits_with_0(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat")

        search = remembrancer("search", "boat", "--user", "ben")
        page = remembrancer("list", "--user", "ben")

        assert (search.code, search.out) == (0, "Nothing found.\n")
        assert (page.code, page.out) == (0, "No facts.\n")

    def test_get_prints_scope_and_whole_id(self, remembrancer: CommandLine) -> None:
        fact_id = remember(remembrancer, "I sold the boat", "--agent", "bot")

        outcome = remembrancer("get", fact_id)

        assert fact_id in outcome.out
        assert re.search(r"^of +user ana, agent bot$", outcome.out, re.MULTILINE)

    def test_fact_of_another_user_is_not_found(self, remembrancer: CommandLine) -> None:
        fact_id = remember(remembrancer, "I sold the boat")

        for command in ("get", "history", "delete"):
            outcome = remembrancer(command, fact_id, "--user", "ben")
            assert (outcome.code, outcome.out) == (1, "")
            assert fact_id in outcome.err

    def test_control_characters_are_printed_escaped(self, remembrancer: CommandLine) -> None:
        fact_id = remember(
            remembrancer, "click \x1b]8;;http://evil\x07here\nand [bold]there[/bold]"
        )

        page = remembrancer("list", "--user", "ana")
        fact = remembrancer("get", fact_id)

        assert "\x1b" not in page.out + fact.out
        assert r"click \u001b]8;;http://evil\u0007here and [bold]there[/bold]" in page.out


class TestChanging:
    def test_update_keeps_the_old_version_in_the_history(self, remembrancer: CommandLine) -> None:
        fact_id = remember(remembrancer, "I sold the boat")

        updated = remembrancer("update", fact_id, "I sold both boats")
        history = remembrancer("history", fact_id)

        assert updated.code == 0
        assert [line.split()[0] for line in history.out.splitlines()] == ["VERSION", "1", "2"]
        versions = remembrancer("history", fact_id, "--json").document["versions"]
        assert [v["text"] for v in versions] == ["I sold the boat", "I sold both boats"]

    def test_update_that_changes_nothing_reports_it(self, remembrancer: CommandLine) -> None:
        fact_id = remember(remembrancer, "I sold the boat")

        assert "has this text already" in remembrancer("update", fact_id, "I sold the boat").out
        assert remembrancer("update", fact_id, "I sold the boat", "--json").document == {
            "receipt": None
        }

    def test_deleted_fact_is_not_listed_and_keeps_its_history(
        self, remembrancer: CommandLine
    ) -> None:
        fact_id = remember(remembrancer, "I sold the boat")

        deleted = remembrancer("delete", fact_id, "--json")
        again = remembrancer("delete", fact_id)

        assert deleted.document["receipt"]["verdicts"][0]["decision"] == "retract"
        assert again.code == 1
        assert remembrancer("list", "--user", "ana", "--json").document["facts"] == []
        assert len(remembrancer("history", fact_id, "--json").document["versions"]) == 2

    def test_delete_all_needs_a_scope_and_yes(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat")

        assert remembrancer("delete", "--all", "--yes").code == 2
        assert remembrancer("delete", "--all", "--user", "ana").code == 2
        assert len(remembrancer("list", "--user", "ana", "--json").document["facts"]) == 1

        assert remembrancer("delete", "--all", "--user", "ana", "--yes").code == 0
        assert remembrancer("list", "--user", "ana", "--json").document["facts"] == []
        nothing = remembrancer("delete", "--all", "--user", "ana", "--yes", "--json")
        assert (nothing.code, nothing.document) == (0, {"receipt": None})

    @pytest.mark.parametrize("arguments", [(), ("0" * 32, "--all", "--user", "ana")])
    def test_delete_takes_either_an_id_or_all(
        self, remembrancer: CommandLine, arguments: tuple[str, ...]
    ) -> None:
        outcome = remembrancer("delete", *arguments)

        assert outcome.code == 2
        assert "either the ID of a fact or --all" in outcome.err


class TestChecking:
    def test_stats_count_one_owner_or_all(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat")
        remembrancer("add", "I bought it", "--user", "ben", "--no-infer")

        everybody = remembrancer("stats", "--json").document
        ana = remembrancer("stats", "--user", "ana", "--json").document

        assert (everybody["messages"], ana["messages"]) == (2, 1)
        assert everybody["facts"]["active"] == 2
        assert re.search(r"^facts +2 active$", remembrancer("stats").out, re.MULTILINE)

    def test_intact_database_passes_verify(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat")

        outcome = remembrancer("verify", "--json")

        assert (outcome.code, outcome.document["ok"]) == (0, True)
        assert remembrancer("verify").out.startswith("Verified: ")

    def test_changed_payload_fails_verify(self, remembrancer: CommandLine, database: Path) -> None:
        remember(remembrancer, "I sold the boat")
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(
                "UPDATE event SET payload = "
                "CAST(replace(CAST(payload AS TEXT), 'boat', 'goat') AS BLOB)"
            )

        outcome = remembrancer("verify", "--json")

        assert (outcome.code, outcome.document["ok"]) == (1, False)
        assert remembrancer("verify").out.startswith("Verification failed: ")


class TestRefusals:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("search", "x", "--user", "ana"),
            ("list", "--user", "ana"),
            ("get", "0" * 32),
            ("history", "0" * 32),
            ("update", "0" * 32, "x"),
            ("delete", "0" * 32),
            ("delete", "--all", "--user", "ana", "--yes"),
            ("stats",),
            ("verify",),
        ],
        ids=lambda arguments: arguments[0],
    )
    def test_reading_a_missing_database_does_not_create_it(
        self, remembrancer: CommandLine, database: Path, arguments: tuple[str, ...]
    ) -> None:
        outcome = remembrancer(*arguments)

        assert outcome.code == 1
        assert f"error: --db: there is no database at {database}" in outcome.err
        assert not database.exists()

    def test_error_is_one_line_on_standard_error(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat")

        outcome = remembrancer("get", "f" * 32)

        assert (outcome.code, outcome.out) == (1, "")
        assert re.fullmatch(r"error: .*f{32}.*\n", outcome.err)

    def test_error_is_a_json_document_with_json(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat")

        refused = remembrancer("search", "x", "--user", "ana", "--limit", "0", "--json")
        misused = remembrancer("search", "--user", "ana", "--json")

        assert refused.code == 1
        assert refused.error["type"] == "InvalidRequest"
        assert refused.error["path"] == "limit"
        assert refused.error["message"].startswith("limit: ")
        assert misused.code == 2
        assert (misused.error["type"], misused.error["path"]) == ("UsageError", "query")
        assert refused.out == misused.out == ""

    @pytest.mark.parametrize("command", ["search", "add"])
    def test_missing_owner_is_a_usage_error(self, remembrancer: CommandLine, command: str) -> None:
        outcome = remembrancer(command, "x", "--app", "shop")

        assert outcome.code == 2
        assert "--user, --agent, --run" in outcome.err

    @pytest.mark.parametrize(
        ("option", "value"),
        [("--as-of", "yesterday"), ("--valid-at", "2024-13-01"), ("--filter", "[1]"),
         ("--filter", "{")],
    )  # fmt: skip
    def test_invalid_option_value_is_a_usage_error(
        self, remembrancer: CommandLine, option: str, value: str
    ) -> None:
        outcome = remembrancer("search", "x", "--user", "ana", option, value)

        assert outcome.code == 2
        assert option in outcome.err

    def test_file_that_is_not_a_database_is_refused(
        self, remembrancer: CommandLine, database: Path
    ) -> None:
        database.write_text("once upon a time " * 100)

        outcome = remembrancer("list", "--user", "ana")

        assert outcome.code == 1
        assert outcome.err.count("\n") == 1
        assert database.read_text() == "once upon a time " * 100

    def test_empty_user_id_is_refused(self, remembrancer: CommandLine) -> None:
        fact_id = remember(remembrancer, "I sold the boat")

        outcome = remembrancer("delete", fact_id, "--user", "")

        assert outcome.code == 1
        assert "user_id: is empty" in outcome.err

    def test_scope_options_have_a_long_form(self, remembrancer: CommandLine) -> None:
        remembrancer("add", "a boat", "--user-id", "ana", "--run-id", "r1", "--no-infer")

        page = remembrancer("list", "--user", "ana", "--run", "r1", "--json").document

        assert page["facts"][0]["scope"] == {
            "user_id": "ana", "agent_id": None, "run_id": "r1", "app_id": None
        }  # fmt: skip


class TestProcess:
    def test_interrupt_exits_with_130_and_no_traceback(self, database: Path) -> None:
        process = start("add", "-", "--user", "ana", stdin=subprocess.PIPE)
        assert process.stdin is not None
        # More than a pipe buffer: once it is written, the command is reading.
        process.stdin.write(b"x" * 1_000_000)

        process.send_signal(signal.SIGINT)
        _, err = process.communicate()

        assert process.returncode == 130
        assert b"Traceback" not in err

    @pytest.mark.parametrize("size", [10, 500_000], ids=["little", "much"])
    @pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
    def test_closed_pipe_prints_no_error(
        self, remembrancer: CommandLine, size: int, options: tuple[str, ...]
    ) -> None:
        remember(remembrancer, "-", stdin=b"x" * size)
        reading, writing = os.pipe()
        os.close(reading)
        process = start("list", "--user", "ana", *options, stdout=writing)
        os.close(writing)

        _, err = process.communicate()

        assert err == b""

    def test_json_works_on_standard_output_without_unicode(
        self, remembrancer: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remember(remembrancer, "Grüße aus Köln")
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")

        out, err = start("list", "--user", "ana", "--json").communicate()

        assert (json.loads(out)["facts"][0]["text"], err) == ("Grüße aus Köln", b"")


class TestTerminal:
    def test_delete_all_asks_for_confirmation(
        self, remembrancer: CommandLine, database: Path
    ) -> None:
        remember(remembrancer, "I sold the boat")

        no = on_terminal("delete", "--all", "--user", "ana", typed="n\n")
        kept = remembrancer("list", "--user", "ana", "--json").document["facts"]
        yes = on_terminal("delete", "--all", "--user", "ana", typed="y\n")

        assert f"Delete every fact of user ana in {database}?" in no.out
        assert (no.code, len(kept)) == (1, 1)
        assert yes.code == 0
        assert remembrancer("list", "--user", "ana", "--json").document["facts"] == []

    @pytest.mark.parametrize("command", [("list",), ("search", "boat")])
    def test_ids_are_not_cut_on_a_narrow_terminal(
        self, remembrancer: CommandLine, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
    ) -> None:
        fact_id = remember(remembrancer, "I sold the boat " * 20)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "50")

        outcome = on_terminal(*command, "--user", "ana")

        assert outcome.code == 0
        assert fact_id in outcome.out
        assert "\x1b[" in outcome.out

    def test_progress_is_shown_only_on_a_terminal(
        self, remembrancer: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "talk.jsonl"
        file.write_text('{"content": "I sold the boat"}\n')
        monkeypatch.setenv("TERM", "xterm")

        here = on_terminal("ingest", str(file), "--user", "ana")
        there = remembrancer("ingest", str(file), "--user", "ben")

        assert "ingesting" in here.out
        assert "ingesting" not in there.out + there.err

    def test_json_on_a_terminal_is_plain(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat")

        outcome = on_terminal("verify", "--json")

        assert json.loads(outcome.out)["ok"] is True


class TestCompact:
    def test_compact_does_nothing_if_nothing_is_due(self, remembrancer: CommandLine) -> None:
        remember(remembrancer, "I sold the boat")

        assert remembrancer("compact").out == "Built 0.\n"
        assert remembrancer("compact", "--json").document == {"made": 0}
