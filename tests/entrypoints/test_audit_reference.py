"""The JSON of ``diff`` and ``timeline`` has the fields that docs/reference/audit.md has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command_line import CommandLine

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "audit.md"
ANA = ("--user", "ana")


def described(verb: str) -> Any:
    """The JSON example of a verb."""
    section = REFERENCE.read_text(encoding="utf-8").split(f"\n## {verb}\n")[1].split("\n## ")[0]
    found = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def check(example: Any, printed: Any, path: str) -> None:
    """Compare the names of all fields; a fact is shortened in the example."""
    if isinstance(example, dict) and path.split(".")[-1] not in ("before", "after", "totals"):
        assert list(example) == list(printed), path
        for name, value in example.items():
            check(value, printed[name], f"{path}.{name}")
    elif isinstance(example, list) and example and isinstance(example[0], dict):
        check(example[0], printed[0], f"{path}[]")


@pytest.mark.parametrize("verb", ["diff", "timeline"])
def test_json_has_the_fields_of_the_reference(verb: str, remembrancer: CommandLine) -> None:
    """Acceptance test 46 of the audit, for these verbs."""
    added = remembrancer("add", "I live in Berlin.", *ANA, "--json").document
    fact_id = added["receipt"]["verdicts"][0]["fact_id"]
    remembrancer("update", fact_id, "I live in Bern.", *ANA)
    moments = ("@1",) if verb == "diff" else ()
    printed = remembrancer(verb, *moments, *ANA, "--json").document
    check(described(verb), printed, verb)
