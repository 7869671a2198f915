"""The command ``ingest``: both file formats, repeated runs, and killed runs."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from remembrancer.domain.errors import InvalidRequest
from remembrancer.entrypoints.cli.conversation_files import (
    BATCH_LINES,
    MAX_LINE_BYTES,
    Batch,
    open_conversation,
)
from remembrancer.testing.model_server import ModelServer, Status
from tests.helpers.command_line import CommandLine, start

pytestmark = pytest.mark.slow

KILLED_AT_THE_NTH_WRITE = """
import os, signal, sys
from remembrancer.entrypoints.cli.main import run
from remembrancer.application.remember.remember import Remember

left, observe = int(sys.argv[1]), Remember.observe

async def doomed(self, request):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return await observe(self, request)

Remember.observe = doomed
sys.exit(run(sys.argv[2:]))
"""


def said(day: int, text: str, **more: Any) -> dict[str, Any]:
    return {"name": "Ana", "content": text, "timestamp": f"2024-03-{day:02}T10:00:00Z", **more}


DAYS = [said(day, f"On day {day} I sold boat number {day}.") for day in range(1, 8)]


def write_lines(path: Path, messages: Sequence[object]) -> str:
    path.write_text("".join(json.dumps(message) + "\n" for message in messages), encoding="utf-8")
    return str(path)


def sample(sample_id: str | None = "talk-1", **conversation: Any) -> dict[str, Any]:
    talk = {
        "speaker_a": "Ana",
        "speaker_b": "Ben",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ana", "dia_id": "D1:1", "text": "I sold the boat."},
            {"speaker": "Ben", "dia_id": "D1:2", "text": "Look.", "blip_caption": "a new boat"},
        ],
        "session_10_date_time": "12:09 am on 3 July, 2023",
        "session_10": [{"speaker": "Ana", "dia_id": "D10:1", "text": "I bought a kayak."}],
        "session_2_date_time": "7:55 pm on 9 June, 2023",
        "session_2": [{"speaker": "Ben", "dia_id": "D2:1", "text": "I am in Oslo."}],
        "session_11_date_time": "7:55 pm on 9 August, 2023",
    } | conversation
    return {"conversation": talk, "qa": []} | ({"sample_id": sample_id} if sample_id else {})


def write_json(path: Path, document: object) -> str:
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return str(path)


def texts(remembrancer: CommandLine, user: str = "ana") -> list[str]:
    page = remembrancer("list", "--user", user, "--order", "occurred_at", "--json").document
    return [fact["text"] for fact in page["facts"]]


def messages(remembrancer: CommandLine) -> int:
    counted: int = remembrancer("stats", "--json").document["messages"]
    return counted


class TestJsonLines:
    def test_every_message_is_added_with_its_own_time(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        file = write_lines(tmp_path / "talk.jsonl", DAYS)

        outcome = remembrancer("ingest", file, "--user", "ana", "--no-infer", "--json")

        assert outcome.document == {
            "file": file,
            "format": "jsonl",
            "batches": 7,
            "replayed": 0,
            "messages": 7,
            "verdicts": {"add": 7},
            "skipped": 0,
            "unread": [],
            "lagging": [],
            "waiting": 0,
            "usage": {
                "calls": 0,
                "input_tokens": 0,
                "output_tokens": 0,
                "cost": 0,
                "unpriced": 0,
                "latency": 0,
            },
        }
        assert texts(remembrancer) == [message["content"] for message in DAYS]

    def test_second_run_adds_nothing_and_reports_it(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        file = write_lines(tmp_path / "talk.jsonl", DAYS)
        remembrancer("ingest", file, "--user", "ana")
        before = remembrancer("stats", "--json").document

        again = remembrancer("ingest", file, "--user", "ana")

        assert again.code == 0
        assert again.out == "All 7 batches were in the ledger already; nothing was added.\n"
        assert remembrancer("stats", "--json").document["events"] == before["events"]

    def test_same_file_can_be_ingested_for_another_owner(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        file = write_lines(tmp_path / "talk.jsonl", DAYS)
        remembrancer("ingest", file, "--user", "ana", "--no-infer")

        remembrancer("ingest", file, "--user", "ben", "--no-infer")

        assert texts(remembrancer, "ben") == texts(remembrancer, "ana")

    @pytest.mark.parametrize("writes", [0, 1, 4, 6])
    @pytest.mark.parametrize("options", [(), ("--no-infer",)], ids=["rules", "verbatim"])
    def test_killed_run_is_completed_by_the_next(
        self, remembrancer: CommandLine, tmp_path: Path, writes: int, options: tuple[str, ...]
    ) -> None:
        file = write_lines(tmp_path / "talk.jsonl", DAYS)
        arguments = ("ingest", file, "--user", "ana", *options)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_AT_THE_NTH_WRITE, str(writes), *arguments], check=False
        )
        assert killed.returncode == -signal.SIGKILL

        finished = remembrancer(*arguments, "--json")

        assert finished.document["replayed"] == writes
        assert messages(remembrancer) == len(DAYS)
        assert texts(remembrancer) == [message["content"] for message in DAYS]
        assert remembrancer("verify").code == 0

    def test_bad_line_is_reported_and_batches_before_it_are_kept(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        path = tmp_path / "talk.jsonl"
        file = write_lines(path, [*DAYS[:3], "no message", *DAYS[3:]])

        refused = remembrancer("ingest", file, "--user", "ana", "--no-infer")

        # The batch of the third day is still open at the bad line, so it is not stored.
        assert refused.code == 1
        assert refused.err.startswith("error: line 4: expected an object, got str")
        assert "2 batches before it are in the ledger" in refused.err
        assert len(texts(remembrancer)) == 2

        write_lines(path, DAYS)
        resumed = remembrancer("ingest", file, "--user", "ana", "--no-infer", "--json")
        assert (resumed.document["replayed"], messages(remembrancer)) == (2, len(DAYS))

    @pytest.mark.parametrize(
        ("line", "place"),
        [
            (b'{"content": "x"', "line 2: is not JSON"),
            (b"[" * 100_000, "line 2: is not JSON"),
            (b'{"content": "\xff"}', "line 2: is not UTF-8"),
            (b"7", "line 2: expected an object, got int"),
            (b'{"content": "x", "timestamp": "noon"}', "line 2.timestamp: 'noon'"),
        ],
    )
    def test_error_in_a_line_is_reported_with_its_place(
        self, remembrancer: CommandLine, tmp_path: Path, line: bytes, place: str
    ) -> None:
        path = tmp_path / "talk.jsonl"
        path.write_bytes(b'{"content": "fine"}\n' + line + b"\n")

        outcome = remembrancer("ingest", str(path), "--user", "ana")

        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err.startswith(f"error: {place}")
        assert outcome.err.count("\n") == 1
        assert "\x1b" not in outcome.err

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (b'{"content": "  "}', "line 2: content: is empty"),
            (b'{"content": 3}', "line 2: content: expected a string, got int"),
            (b"{}", "line 2: content: expected a string"),
            (b'{"content": "x", "role": "king"}', "line 2: role: 'king' is not a role"),
            (b'{"content": "x", "mood": "good"}', "line 2: mood: is not part of a message"),
            (b'{"content": "x", "a\\u001bb": 1}', "line 2: a\\x1bb: is not"),
            (b'{"content": "x", "timestamp": true}', "line 2: timestamp: expected"),
            (b'{"content": "x", "metadata": {"a": NaN}}', "line 2: metadata.a: nan"),
            (b'{"content": "\\ud800"}', "line 2: content: lone surrogate"),
        ],
    )
    def test_unreadable_message_is_reported_and_the_others_are_added(
        self, remembrancer: CommandLine, tmp_path: Path, line: bytes, problem: str
    ) -> None:
        path = tmp_path / "talk.jsonl"
        path.write_bytes(b'{"content": "I sold a boat."}\n' + line + b"\n")

        outcome = remembrancer("ingest", str(path), "--user", "ana", "--json")

        assert outcome.code == 0
        assert "I sold a boat." in texts(remembrancer)
        [unread] = outcome.document["unread"]
        assert unread.startswith(problem)

    def test_batch_in_which_nothing_can_be_read_does_not_end_the_run(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        lines = [said(1, "I sold a boat."), said(2, " "), said(3, "I sold a raft.")]
        file = write_lines(tmp_path / "talk.jsonl", lines)

        outcome = remembrancer("ingest", file, "--user", "ana", "--no-infer")

        assert texts(remembrancer) == ["I sold a boat.", "I sold a raft."]
        assert "1 could not be read, the first at line 2.content: is empty" in outcome.out

    def test_file_in_which_nothing_can_be_read_is_refused(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        file = write_lines(tmp_path / "talk.jsonl", [said(1, " "), said(2, "")])

        outcome = remembrancer("ingest", file, "--user", "ana")

        assert outcome.code == 1
        assert outcome.err.startswith("error: line 1.content: is empty")

    def test_lines_added_later_are_ingested_without_duplicates(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        path = tmp_path / "talk.jsonl"
        first = [said(1, "I sold a boat."), said(2, "I sold a kayak.")]
        remembrancer("ingest", write_lines(path, first), "--user", "ana")

        grown = [*first, said(2, "I sold a raft.", name="Ben"), said(3, "I sold a canoe.")]
        outcome = remembrancer("ingest", write_lines(path, grown), "--user", "ana", "--json")

        assert outcome.document["replayed"] == 1
        assert sorted(texts(remembrancer)) == sorted(message["content"] for message in grown)

    def test_json_lines_need_an_owner(
        self, remembrancer: CommandLine, tmp_path: Path, database: Path
    ) -> None:
        outcome = remembrancer("ingest", write_lines(tmp_path / "talk.jsonl", DAYS))

        assert outcome.code == 2
        assert "--user" in outcome.err
        assert not database.exists()

    def test_messages_are_read_from_standard_input(self, remembrancer: CommandLine) -> None:
        stdin = "\n".join(json.dumps(message) for message in DAYS).encode()

        outcome = remembrancer("ingest", "-", "--user", "ana", "--no-infer", stdin=stdin)

        assert outcome.out.startswith("7 messages in 7 batches: 7 add;")

    def test_interrupt_exits_with_130_and_keeps_stored_batches(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        process = start("ingest", "-", "--user", "ana", "--no-infer", stdin=subprocess.PIPE)
        assert process.stdin is not None
        for message in DAYS:
            process.stdin.write(json.dumps(message).encode() + b"\n")
        # More than a pipe buffer: once it is written, the messages before it are in the ledger.
        process.stdin.write(b'{"content": "' + b"x" * 1_000_000)

        process.send_signal(signal.SIGINT)
        _, err = process.communicate()

        assert (process.returncode, b"Traceback" in err) == (130, False)
        assert set(texts(remembrancer)) <= {message["content"] for message in DAYS}
        assert remembrancer("verify").code == 0


class TestLocomo:
    def test_sample_is_a_user_and_session_has_its_date(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        file = write_json(tmp_path / "locomo.json", [sample(), sample("talk-2")])

        outcome = remembrancer("ingest", file, "--no-infer", "--json")

        assert outcome.document["format"] == "locomo"
        assert outcome.document["batches"] == 6
        page = remembrancer("list", "--user", "talk-2", "--order", "occurred_at", "--json").document
        assert [(f["occurred_at"], f["speaker"], f["text"]) for f in page["facts"]] == [
            ("2023-05-08T13:56:00+00:00", "Ana", "I sold the boat."),
            ("2023-05-08T13:56:00+00:00", "Ben", "Look.\n[shows a new boat]"),
            ("2023-06-09T19:55:00+00:00", "Ben", "I am in Oslo."),
            ("2023-07-03T00:09:00+00:00", "Ana", "I bought a kayak."),
        ]
        assert page["facts"][0]["metadata"] == {"dia_id": "D1:1"}

    def test_second_run_adds_nothing(self, remembrancer: CommandLine, tmp_path: Path) -> None:
        file = write_json(tmp_path / "locomo.json", [sample(), sample("talk-2")])
        remembrancer("ingest", file)

        again = remembrancer("ingest", file)

        assert again.out == "All 6 batches were in the ledger already; nothing was added.\n"

    def test_single_sample_on_one_line_is_accepted(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        path = tmp_path / "locomo.json"
        path.write_text(json.dumps(sample()), encoding="utf-8")

        assert remembrancer("ingest", str(path)).code == 0
        assert remembrancer("list", "--user", "talk-1", "--json").document["facts"]

    def test_given_owner_gets_all_samples(self, remembrancer: CommandLine, tmp_path: Path) -> None:
        file = write_json(tmp_path / "locomo.json", [sample(), sample(None)])

        assert remembrancer("ingest", file).code == 2
        assert remembrancer("ingest", file, "--agent", "bot", "--no-infer").code == 0
        assert len(remembrancer("list", "--agent", "bot", "--json").document["facts"]) == 4

    def test_app_is_stored_and_is_not_an_owner(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        file = write_json(tmp_path / "locomo.json", sample())

        remembrancer("ingest", file, "--app", "shop", "--no-infer")

        page = remembrancer("list", "--user", "talk-1", "--app", "shop", "--json").document
        assert len(page["facts"]) == 4

    @pytest.mark.parametrize(
        ("document", "place"),
        [
            ([sample(), {"sample_id": "x"}], "samples[1].conversation: expected an object"),
            ([sample(), []], "samples[1]: expected an object, got list"),
            ([{"content": "x"}, sample()], "samples[0].conversation: expected an object"),
            (sample(session_2="hi"), "samples[0].conversation.session_2: expected a list"),
            (sample(session_2=[{"speaker": "A"}]),
             "samples[0].conversation.session_2[0].text: expected a string"),
            (sample(session_2_date_time="noon"),
             "samples[0].conversation.session_2_date_time: 'noon' is not like"),
            (sample() | {"sample_id": 7}, "samples[0].sample_id: expected a string"),
        ],
    )  # fmt: skip
    def test_error_is_reported_before_any_write(
        self,
        remembrancer: CommandLine,
        tmp_path: Path,
        database: Path,
        document: object,
        place: str,
    ) -> None:
        file = write_json(tmp_path / "locomo.json", document)

        outcome = remembrancer("ingest", file)

        assert outcome.code == 1
        assert outcome.err.startswith(f"error: {place}")
        assert not database.exists()

    def test_file_without_sessions_adds_nothing(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        outcome = remembrancer("ingest", write_json(tmp_path / "locomo.json", []))

        assert (outcome.code, outcome.out) == (0, "The file has no messages.\n")


class TestWithAModel:
    """With a model, owners run concurrently and model errors are reported."""

    @pytest.fixture
    def server(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[ModelServer]:
        meeting = getattr(request, "param", 1)
        with ModelServer(answer={"facts": []}, meeting=meeting) as server:
            for name, value in {
                "PROVIDER": "litellm",
                "MODEL": "openai/gpt-4o-mini",
                "BASE_URL": server.url,
                "RETRIES": "0",
            }.items():
                monkeypatch.setenv(f"REMEMBRANCER_LANGUAGE_MODEL__{name}", value)
            yield server

    @pytest.mark.parametrize("server", [4], indirect=True)
    def test_owners_run_concurrently_and_usage_is_reported(
        self, remembrancer: CommandLine, tmp_path: Path, server: ModelServer
    ) -> None:
        samples = [sample(f"talk-{number}") for number in range(4)]
        outcome = remembrancer("ingest", write_json(tmp_path / "locomo.json", samples), "--json")

        assert server.most_at_once == len(samples)
        usage = outcome.document["usage"]
        assert usage["calls"] == outcome.document["batches"] == 3 * len(samples)
        assert usage["input_tokens"] == server.input_tokens

    def test_useless_answer_leaves_only_its_batch_to_retry(
        self, remembrancer: CommandLine, tmp_path: Path, server: ModelServer
    ) -> None:
        file = write_lines(tmp_path / "talk.jsonl", DAYS[:3])
        server.script({"facts": []}, "I'd rather not.")

        outcome = remembrancer("ingest", file, "--user", "ana")

        assert outcome.code == 1
        assert "1 batches wait" in outcome.out
        assert remembrancer("stats", "--json").document["pending"] == 1
        assert remembrancer("retry").code == 0
        assert remembrancer("ingest", file, "--user", "ana", "--json").document["replayed"] == 3

    def test_unavailable_server_ends_the_run_and_the_next_continues(
        self, remembrancer: CommandLine, tmp_path: Path, server: ModelServer
    ) -> None:
        file = write_lines(tmp_path / "talk.jsonl", DAYS[:3])
        server.script({"facts": []}, Status(code=503))

        stopped = remembrancer("ingest", file, "--user", "ana")

        assert (stopped.code, stopped.out) == (1, "")
        assert "run the same command again" in stopped.err
        assert messages(remembrancer) == 2
        assert remembrancer("ingest", file, "--user", "ana", "--json").document["replayed"] == 1
        assert (messages(remembrancer), len(server.asked)) == (3, 4)


TOOL_CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ],
}
OPENAI = [
    {"role": "user", "content": "I sold a boat."},
    TOOL_CALL,
    {"role": "tool", "tool_call_id": "c", "content": "rain"},
]
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "I sold a raft."}]}]}
SOLD = ["I sold a boat.", "weather({})", "rain", "I sold a raft."]


class TestChatFormats:
    @pytest.mark.parametrize("indent", [None, 1])
    @pytest.mark.parametrize(
        "document",
        [
            [*OPENAI, GEMINI["contents"][0]],
            {"messages": [*OPENAI, GEMINI["contents"][0]]},
            [OPENAI, GEMINI["contents"]],
            [{"messages": OPENAI}, GEMINI],
        ],
        ids=["messages", "request", "conversations", "requests"],
    )
    def test_json_document_has_messages_or_conversations(
        self, remembrancer: CommandLine, tmp_path: Path, document: object, indent: int | None
    ) -> None:
        path = tmp_path / "chat.json"
        path.write_text(json.dumps(document, indent=indent), encoding="utf-8")

        outcome = remembrancer("ingest", str(path), "--user", "ana", "--no-infer", "--json")

        assert sorted(texts(remembrancer)) == sorted(SOLD)
        assert outcome.document["batches"] == (
            2 if isinstance(document, list) and len(document) == 2 else 1
        )
        again = remembrancer("ingest", str(path), "--user", "ana", "--no-infer", "--json")
        assert again.document["replayed"] == outcome.document["batches"]

    @pytest.mark.parametrize("first", [OPENAI, {"messages": OPENAI}], ids=["array", "request"])
    def test_line_can_be_a_conversation(
        self, remembrancer: CommandLine, tmp_path: Path, first: object
    ) -> None:
        more = {"messages": [{"role": "user", "content": "I sold a kayak."}]}
        file = write_lines(tmp_path / "chats.jsonl", [first, GEMINI, *DAYS[:1], more])

        outcome = remembrancer("ingest", file, "--user", "ana", "--no-infer", "--json")

        assert outcome.document["format"] == "jsonl"
        assert outcome.document["batches"] == 4
        sold = [*SOLD, DAYS[0]["content"], "I sold a kayak."]
        assert sorted(texts(remembrancer)) == sorted(sold)

    def test_unread_part_of_a_conversation_is_reported_with_its_place(
        self, remembrancer: CommandLine, tmp_path: Path
    ) -> None:
        spoken = {"role": "user", "content": [{"type": "input_audio"}]}
        file = write_lines(tmp_path / "chats.jsonl", [{"messages": [*OPENAI, spoken]}])

        outcome = remembrancer("ingest", file, "--user", "ana", "--json")

        assert outcome.document["unread"] == [
            "line 1.messages[3]: content[0]: is sound; pass its transcript as text"
        ]


class TestFormats:
    @pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
    def test_empty_file_is_refused(
        self, remembrancer: CommandLine, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "empty"
        path.write_bytes(content)

        outcome = remembrancer("ingest", str(path), "--user", "ana")

        assert outcome.code == 1
        assert "file: is empty" in outcome.err

    @pytest.mark.parametrize(
        ("content", "place"),
        [
            (b"once upon a time", "line 1: is not JSON"),
            (b'{"role": "user", "content": "hi"', "line 1: is not JSON"),
            (b"[1, 2", "file: is not JSON"),
            (b'{\n "content": "hi"', "file: is not JSON"),
            (b"[1, 2]", "messages[0]: expected a message"),
        ],
    )
    def test_file_in_neither_format_is_refused(
        self, remembrancer: CommandLine, tmp_path: Path, content: bytes, place: str
    ) -> None:
        path = tmp_path / "talk"
        path.write_bytes(content)

        outcome = remembrancer("ingest", str(path), "--user", "ana")

        assert outcome.code == 1
        assert outcome.err.startswith(f"error: {place}")

    def test_byte_order_mark_and_blank_lines_are_skipped(self) -> None:
        found = batches(b'\xef\xbb\xbf{"content": "a"}\r\n\n{"content": "b"}')

        assert [batch.messages for batch in found] == [[{"content": "a"}, {"content": "b"}]]
        assert found[0].places == ["line 1", "line 3"]

    def test_missing_file_is_a_usage_error(self, remembrancer: CommandLine) -> None:
        assert remembrancer("ingest", "nowhere.jsonl", "--user", "ana").code == 2


class TestBatches:
    def test_batch_ends_with_the_day_in_utc(self) -> None:
        found = batches(
            b'{"content": "a", "timestamp": "2024-03-01T23:30:00"}\n'
            b'{"content": "b", "timestamp": "2024-03-02T00:30:00+01:00"}\n'
            b'{"content": "c"}\n'
            b'{"content": "d", "timestamp": "2024-03-02T00:30:00+00:00"}\n'
        )

        assert contents(found) == [["a", "b", "c"], ["d"]]

    def test_batch_size_is_bounded_within_a_day(self) -> None:
        lines = b"".join(b'{"content": "%d"}\n' % number for number in range(2 * BATCH_LINES + 1))

        found = batches(lines)

        assert [len(batch.messages) for batch in found] == [BATCH_LINES, BATCH_LINES, 1]
        assert [batch.number for batch in found] == [0, 1, 2]
        assert found[-1].done == len(lines)

    def test_lines_are_read_one_batch_at_a_time(self) -> None:
        lines = b"".join(b'{"content": "%d"}\n' % number for number in range(1000))
        stream = io.BytesIO(lines)
        conversation = open_conversation(stream, len(lines))

        next(conversation.batches)

        assert stream.tell() == len(b"".join(lines.splitlines(keepends=True)[: BATCH_LINES + 1]))

    def test_endless_line_is_refused_at_the_length_limit(self) -> None:
        endless = b'{"content": "a"}\n{"content": "' + b"x" * MAX_LINE_BYTES

        with pytest.raises(InvalidRequest, match="line 2: is longer than 16 MiB"):
            batches(endless)


def batches(content: bytes) -> list[Batch]:
    return list(open_conversation(io.BytesIO(content), len(content)).batches)


def contents(found: Sequence[Batch]) -> list[list[str]]:
    return [[message["content"] for message in batch.messages] for batch in found]
