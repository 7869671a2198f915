"""What reaches a terminal: escapes, encodings, byte-order marks, styles and time zones."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from remembrancer import Memory
from remembrancer.entrypoints.cli.main import run
from tests.helpers.command_line import CommandLine, on_terminal

pytestmark = pytest.mark.slow

OBEYED = [
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
]
"""DEL, the C1 controls, and the marks that change the direction of text."""

BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_text_of_a_fact_never_steers_the_terminal(
    remembrancer: CommandLine, database: Path, options: list[str]
) -> None:
    with Memory(database) as memory:
        memory.add(f"a{''.join(OBEYED)}z", user_id="ana", infer=False)

    outcome = remembrancer("list", "--user", "ana", *options)

    assert not set(outcome.out) & set(OBEYED)
    assert "\\u009b" in outcome.out
    if options:
        (fact,) = outcome.document["facts"]
        assert fact["text"] == f"a{''.join(OBEYED)}z"


def test_error_with_json_never_steers_the_terminal(remembrancer: CommandLine) -> None:
    outcome = remembrancer("list", "--user", "ana", "--order", "\x9b2J\u202e", "--json")

    assert outcome.code == 2
    assert not set(outcome.err) & set(OBEYED)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("command", ["list", "history", "graph", "search", "get", "stats"])
def test_stream_that_cannot_encode_a_text_gets_escapes(
    database: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, command: str
) -> None:
    with Memory(database) as memory:
        memory.add("My friend is Łukasz. Łukasz lives in 東京 😀.", user_id="ana")
        fact_id = memory.get_all(user_id="ana")[0].fact_id
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    rest = {"history": [fact_id], "get": [fact_id], "search": ["Where?"]}.get(command, [])

    assert run([command, *rest, "--user", "ana"]) == 0

    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    written = out.buffer.getvalue().decode(encoding)
    assert "\\u" in written or command == "stats"


def test_byte_order_mark_on_standard_input_is_no_part_of_the_text(
    remembrancer: CommandLine,
) -> None:
    added = remembrancer("add", "-", "--user", "ana", "--no-infer", stdin=BOM + b"I sold the boat")
    line = b'{"content": "I bought a bike"}\n'
    ingested = remembrancer("ingest", "-", "--user", "ana", "--no-infer", stdin=BOM + line)

    assert (added.code, ingested.code) == (0, 0)
    facts = remembrancer("list", "--user", "ana", "--json").document["facts"]
    assert {fact["text"] for fact in facts} == {"I sold the boat", "I bought a bike"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("settings.toml", '[audit_log]\npath = "{}"\n'),
        ("settings.yaml", 'audit_log:\n  path: "{}"\n'),
    ],
)
def test_byte_order_mark_of_a_settings_file_is_ignored(
    remembrancer: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
) -> None:
    monkeypatch.delenv("REMEMBRANCER_DB")
    file, chosen = tmp_path / name, tmp_path / "chosen.db"
    file.write_bytes(BOM + content.format(chosen.as_posix()).encode())

    outcome = remembrancer("--config", str(file), "add", "I sold the boat", "--user", "ana")

    assert (outcome.code, chosen.exists()) == (0, True)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_means_no_style_at_all(
    database: Path, monkeypatch: pytest.MonkeyPatch, no_color: str
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    with Memory(database) as memory:
        memory.add("My sister is Eve. Eve works at Acme.", user_id="ana")

    shown = [
        on_terminal(*command).out
        for command in (
            ["list", "--user", "ana"],
            ["graph", "Eve", "--user", "ana"],
            ["doctor"],
            ["list", "--user", ""],
        )
    ]

    styled = [bool(re.search(r"\x1b\[[0-9;]*m", out)) for out in shown]
    assert styled == [not no_color] * len(shown)


@pytest.fixture
def auckland(monkeypatch: pytest.MonkeyPatch) -> Iterator[timezone]:
    """The zone of this process is 13 hours ahead of UTC."""
    if not hasattr(time, "tzset"):
        pytest.skip("the zone of a process can't be set on this system")
    monkeypatch.setenv("TZ", "XXX-13")
    time.tzset()
    yield timezone(timedelta(hours=13))
    monkeypatch.undo()
    time.tzset()


def test_add_counts_relative_dates_in_the_zone_of_the_machine(
    remembrancer: CommandLine, auckland: timezone
) -> None:
    before = datetime.now(auckland).date()
    outcome = remembrancer("add", "I moved to Lisbon yesterday", "--user", "ana")
    after = datetime.now(auckland).date()

    assert "(UTC+13:00)" in outcome.err
    (fact,) = remembrancer("list", "--user", "ana", "--json").document["facts"]
    began = datetime.fromisoformat(fact["valid"]["start"]).astimezone(auckland)
    assert before - timedelta(days=1) <= began.date() <= after - timedelta(days=1)
    assert (began.hour, began.minute) == (0, 0)


def test_add_with_json_says_its_zone_in_the_document(
    remembrancer: CommandLine, auckland: timezone
) -> None:
    arguments = ("add", "I moved to Lisbon yesterday", "--user", "ana", "--json")

    here = remembrancer(*arguments)
    given = remembrancer(*arguments, "--at", datetime(2024, 3, 1, tzinfo=UTC).isoformat())

    assert (here.document["zone"], here.err) == ("UTC+13:00", "")
    assert (given.document["zone"], given.err) == (None, "")


def test_document_stays_json_whatever_a_text_contains(
    remembrancer: CommandLine, database: Path
) -> None:
    text = "".join(map(chr, [9, 10, *range(32, 0x2100)])) + "\ufeff\U0001f600"
    with Memory(database) as memory:
        memory.add(text, user_id="ana", infer=False)

    (fact,) = json.loads(remembrancer("list", "--user", "ana", "--json").out)["facts"]

    assert fact["text"] == text.strip() or fact["text"] == text
