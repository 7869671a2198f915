"""The commands that write memories for a prompt: ``context``, ``profile``."""

from __future__ import annotations

from remembrancer.application.context.styles import PREFACE
from tests.helpers.command_line import CommandLine


class TestCommands:
    def test_context_prints_the_text_alone_on_standard_output(
        self, remembrancer: CommandLine
    ) -> None:
        remembrancer("add", "I live in Berlin.", "--user", "ana")

        outcome = remembrancer("context", "Where?", "--user", "ana", "--max-tokens", "200")

        assert outcome.code == 0
        assert outcome.out.startswith(PREFACE)
        assert outcome.out.rstrip().splitlines()[-1].startswith("</memory-")
        assert "tokens" in outcome.err

    def test_context_as_json_has_the_ids(self, remembrancer: CommandLine) -> None:
        remembrancer("add", "I live in Berlin.", "--user", "ana")

        outcome = remembrancer(
            "context", "Where?", "--user", "ana", "--max-tokens", "200", "--json"
        )

        assert len(outcome.document["fact_ids"]) == 1

    def test_profile_prints_what_is_known(self, remembrancer: CommandLine) -> None:
        remembrancer("add", "I live in Berlin.", "--user", "ana")

        assert "residence" in remembrancer("profile", "--user", "ana").out
        document = remembrancer("profile", "--user", "ana", "--json").document
        assert document["attributes"][0]["name"] == "residence"

    def test_context_without_an_owner_is_wrong_usage(self, remembrancer: CommandLine) -> None:
        assert remembrancer("context", "Where?", "--max-tokens", "200").code == 2
