"""Chat formats: what becomes of each part, with the objects of the SDKs themselves."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from remembrancer import InvalidRequest, Memory, NothingToRemember
from remembrancer.application.parsing.messages import parse_messages

PNG = base64.b64encode(b"\x89PNG").decode()
CALL = '{"city": "Oslo"}'


def turns(value: object) -> list[tuple[str, str]]:
    return [(turn.role.value, turn.text) for turn in parse_messages(value).turns]


def skipped(value: object) -> list[tuple[int | None, int | None, str]]:
    return [(item.index, item.part, item.text) for item in parse_messages(value).skipped]


class TestOpenAi:
    """Messages of Chat Completions and items of Responses."""

    @pytest.fixture
    def completion(self) -> Any:
        types = pytest.importorskip("openai.types.chat", reason="the openai SDK is not installed")
        message = {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "annotations": [
                {
                    "type": "url_citation",
                    "url_citation": {
                        "start_index": 0,
                        "end_index": 1,
                        "title": "t",
                        "url": "https://a.example",
                    },
                }
            ],
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": CALL},
                }
            ],
        }
        choice = {"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": message}
        fields = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
        return types.ChatCompletion.model_validate({**fields, "choices": [choice]})

    def test_tool_call_without_content_does_not_refuse_the_conversation(
        self, completion: Any
    ) -> None:
        talk = [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": "I live in Oslo."},
            completion.choices[0].message,
            {"role": "tool", "tool_call_id": "c1", "content": "3 degrees"},
            {"role": "assistant", "content": None, "refusal": "I can't say more."},
        ]

        assert turns(talk) == [
            ("system", "Be kind."),
            ("user", "I live in Oslo."),
            ("tool", f"weather({CALL})"),
            ("tool", "3 degrees"),
            ("assistant", "I can't say more."),
        ]
        assert skipped(talk) == [(2, None, "annotations")]

    def test_completion_stands_for_its_first_choice(self, completion: Any) -> None:
        assert turns(completion) == [("tool", f"weather({CALL})")]

    def test_older_forms_are_read(self) -> None:
        talk = [
            {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "done"},
            {"role": "assistant", "content": None, "audio": {"id": "a", "transcript": "Hello."}},
        ]
        assert turns(talk) == [("tool", "f({})"), ("tool", "done"), ("assistant", "Hello.")]

    def test_custom_tool_call_is_read(self) -> None:
        call = {"id": "c", "type": "custom", "custom": {"name": "run", "input": "ls"}}
        assert turns({"role": "assistant", "tool_calls": [call]}) == [("tool", "run(ls)")]

    def test_parts_of_other_media_are_skipped(self) -> None:
        parts = [
            {"type": "text", "text": "I sent a note."},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_id": "f"}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        ]
        parsed = parse_messages({"role": "user", "content": parts})

        [turn] = parsed.turns
        assert (turn.text, len(turn.images)) == ("I sent a note.", 1)
        assert [(item.part, item.text, item.reason) for item in parsed.skipped] == [
            (1, "input_audio", "content[1]: is sound; pass its transcript as text"),
            (2, "file", "content[2]: is a file; pass its text"),
        ]

    def test_items_of_a_response_are_read(self) -> None:
        types = pytest.importorskip(
            "openai.types.responses", reason="the openai SDK is not installed"
        )
        said = [
            {"type": "output_text", "text": "It is cold.", "annotations": []},
            {"type": "refusal", "refusal": "No more."},
        ]
        message = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
        response = types.Response.model_validate(
            {
                "id": "r",
                "object": "response",
                "created_at": 1,
                "model": "m",
                "parallel_tool_calls": False,
                "tool_choice": "auto",
                "tools": [],
                "output": [
                    {
                        "type": "reasoning",
                        "id": "r1",
                        "summary": [{"type": "summary_text", "text": "Hm."}],
                    },
                    {
                        "type": "function_call",
                        "id": "f",
                        "call_id": "c",
                        "name": "weather",
                        "arguments": CALL,
                    },
                    {**message, "content": said},
                    {
                        "type": "web_search_call",
                        "id": "w",
                        "status": "completed",
                        "action": {"type": "search", "query": "q"},
                    },
                ],
            }
        )
        answered = [("tool", f"weather({CALL})"), ("assistant", "It is cold.\nNo more.")]

        assert turns(response) == answered
        assert skipped(response) == [(0, None, "reasoning"), (3, None, "web_search_call")]
        question = {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "And now?"},
                {"type": "input_image", "image_url": "https://a.example/i.png"},
            ],
        }
        output = {"type": "function_call_output", "call_id": "c", "output": "3 degrees"}
        assert turns([*response.output, output, question]) == [
            *answered,
            ("tool", "3 degrees"),
            ("user", "And now?"),
        ]


class TestAnthropic:
    """Content blocks."""

    BLOCKS = (
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Let me look.", "citations": None},
        {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}},
    )

    @pytest.fixture
    def message(self) -> Any:
        types = pytest.importorskip("anthropic.types", reason="the anthropic SDK is not installed")
        return types.Message.model_validate(
            {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "stop_reason": "tool_use",
                "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 1},
                "content": list(self.BLOCKS),
            }
        )

    def test_message_and_its_blocks_are_read_alike(self, message: Any) -> None:
        expected = [("assistant", "Let me look."), ("tool", f"weather({CALL})")]
        left = [(0, 0, "thinking"), (0, 1, "redacted_thinking")]

        for value in (
            message,
            {"role": "assistant", "content": message.content},
            {"role": "assistant", "content": list(self.BLOCKS)},
        ):
            assert turns(value) == expected
            assert skipped(value) == left

    def test_words_of_tools_and_documents_are_not_the_users(self) -> None:
        image = {"type": "base64", "media_type": "image/png", "data": PNG}
        output = [{"type": "text", "text": "3 degrees"}, {"type": "image", "source": image}]
        parts = [
            {"type": "tool_result", "tool_use_id": "t", "content": output},
            {"type": "text", "text": "I am cold."},
            {
                "type": "document",
                "title": "cv",
                "source": {"type": "text", "media_type": "text/plain", "data": "Born in 1950."},
            },
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
            },
        ]
        parsed = parse_messages({"role": "user", "content": parts})

        assert [(turn.role, turn.text, turn.name, len(turn.images)) for turn in parsed.turns] == [
            ("tool", "3 degrees", None, 1),
            ("user", "I am cold.", None, 0),
            ("tool", "Born in 1950.", "cv", 0),
        ]
        assert [(item.index, item.part, item.text) for item in parsed.skipped] == [
            (0, 3, "document")
        ]


class TestGemini:
    """Contents and parts."""

    @pytest.fixture
    def contents(self) -> Any:
        types = pytest.importorskip("google.genai.types", reason="google-genai is not installed")
        part = types.Part
        return [
            types.Content(
                role="user",
                parts=[
                    part(text="I live in Oslo."),
                    part.from_bytes(data=b"\x89PNG\xfb\xff", mime_type="image/png"),
                    part.from_bytes(data=b"x", mime_type="audio/wav"),
                ],
            ),
            types.Content(
                role="model",
                parts=[
                    part(text="Hm.", thought=True),
                    part.from_function_call(name="weather", args={"city": "Oslo"}),
                ],
            ),
            types.Content(
                role="user",
                parts=[part.from_function_response(name="weather", response={"degrees": 3})],
            ),
        ]

    EXPECTED = [
        ("user", "I live in Oslo."),
        ("tool", f"weather({CALL})"),
        ("tool", '{"degrees": 3}'),
    ]

    def test_contents_are_read_as_objects_and_as_json(self, contents: Any) -> None:
        as_json = [
            item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in contents
        ]
        for value in (contents, {"contents": contents}, {"contents": as_json}, as_json):
            parsed = parse_messages(value)
            assert turns(value) == self.EXPECTED
            assert [len(turn.images) for turn in parsed.turns] == [1, 0, 0]
            assert [(item.index, item.part) for item in parsed.skipped] == [(0, 2), (1, 0)]

    def test_response_stands_for_its_first_candidate(self) -> None:
        types = pytest.importorskip("google.genai.types", reason="google-genai is not installed")
        said = types.Content(role="model", parts=[types.Part(text="Cold.")])
        response = types.GenerateContentResponse(candidates=[types.Candidate(content=said)])
        assert turns(response) == [("assistant", "Cold.")]


class TestLangChain:
    """Messages and their forms for storage."""

    @pytest.fixture
    def talk(self) -> list[Any]:
        lc = pytest.importorskip(
            "langchain_core.messages", reason="langchain-core is not installed"
        )
        call = {"name": "weather", "args": {"city": "Oslo"}, "id": "t", "type": "tool_call"}
        block = {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}}
        return [
            lc.SystemMessage("Be kind."),
            lc.HumanMessage("I live in Oslo.", name="Ann"),
            # Anthropic's models have the call in the content and beside it.
            lc.AIMessage([{"type": "text", "text": "Let me look."}, block], tool_calls=[call]),
            lc.AIMessage("", tool_calls=[{**call, "id": "u"}]),
            lc.ToolMessage("3 degrees", tool_call_id="t", name="weather"),
            lc.HumanMessage(
                [
                    {"type": "image", "base64": PNG, "mime_type": "image/png"},
                    {"type": "reasoning", "reasoning": "Hm."},
                ]
            ),
            lc.AIMessageChunk("Cold."),
            lc.FunctionMessage("done", name="f"),
            lc.ChatMessage("Yes.", role="user"),
            lc.RemoveMessage(id="1"),
        ]

    EXPECTED = [
        ("system", "Be kind."),
        ("user", "I live in Oslo."),
        ("assistant", "Let me look."),
        ("tool", f"weather({CALL})"),
        ("tool", f"weather({CALL})"),
        ("tool", "3 degrees"),
        ("user", ""),
        ("assistant", "Cold."),
        ("tool", "done"),
        ("user", "Yes."),
    ]

    def test_messages_are_read_as_objects_and_in_their_stored_forms(self, talk: list[Any]) -> None:
        load = pytest.importorskip("langchain_core.load")
        lc = pytest.importorskip("langchain_core.messages")
        for value in (
            talk,
            {"messages": talk},
            lc.messages_to_dict(talk),
            [load.dumpd(message) for message in talk],
        ):
            assert turns(value) == self.EXPECTED
            assert skipped(value) == [(5, 1, "reasoning"), (9, None, "message")]
        assert [turn.name for turn in parse_messages(talk).turns][1] == "Ann"

    def test_pairs_of_role_and_content_are_read(self) -> None:
        assert turns([("human", "Hi."), ("ai", "Hello.")]) == [
            ("user", "Hi."),
            ("assistant", "Hello."),
        ]


class TestOddMessages:
    """One odd message does not keep the others from being remembered."""

    @pytest.mark.parametrize(
        ("odd", "label", "reason"),
        [
            (7, "message", "expected a message, got int"),
            (b"hello", "message", "expected a message, got bytes"),
            ({"role": "admin", "content": "x"}, "message", "role: 'admin' is not a role; use one"),
            ({"role": "user", "content": ""}, "message", "content: is empty"),
            ({"role": "user", "content": []}, "message", "content: is empty"),
            ({"role": "assistant", "content": None}, "message", "content: expected a string"),
            ({"content": "a\ud800"}, "text", "content: lone surrogate at index 1; remove it"),
            ({"content": "x", "timestamp": "2024-05-03"}, "message", "timestamp: is naive"),
            ({"content": "x", "name": "a\tb"}, "message", "name: has a control character"),
            ({"content": "x", "metadata": 7}, "message", "metadata: expected a mapping, got int"),
            ({"content": "x", "user_id": "bob"}, "message", "user_id: is an argument of the call"),
            ({"content": b"x"}, "message", "content: expected a string, got bytes"),
            (
                {"role": "tool", "content": [{"type": "tool_result", "content": {"a": {7}}}]},
                "tool_result",
                "content[0].content: is neither a text nor a JSON value",
            ),
            (
                {"content": [{"type": "hologram"}]},
                "hologram",
                "content[0]: is a part 'hologram'; no text or image is known in it",
            ),
            ({"tool_calls": [{"id": "x"}]}, "tool_call", "tool_calls[0].name: expected a string"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_odd_message_is_skipped_with_a_reason(
        self, odd: object, label: str, reason: str
    ) -> None:
        parsed = parse_messages(["I like tea.", odd, {"content": "I like rye."}])

        assert [turn.text for turn in parsed.turns] == ["I like tea.", "I like rye."]
        [item] = parsed.skipped
        assert (item.index, item.text) == (1, label)
        assert item.reason.startswith(reason)

    def test_unknown_key_is_reported_and_its_message_remembered(self) -> None:
        parsed = parse_messages({"content": "I like tea.", "timestmap": "noon", "mood": None})

        assert [turn.text for turn in parsed.turns] == ["I like tea."]
        [item] = parsed.skipped
        assert (item.index, item.text) == (0, "timestmap")
        assert item.reason == "timestmap: is not part of a message; did you mean timestamp?"

    @pytest.mark.parametrize(
        "value",
        [[], [7, None], [{"role": "user", "content": " "}], {"messages": []}, {"contents": [{}]}],
    )
    def test_call_of_which_nothing_can_be_remembered_is_refused(self, value: object) -> None:
        with pytest.raises(NothingToRemember):
            parse_messages(value)

    def test_object_that_raises_is_skipped(self) -> None:
        class Hostile(Mapping[str, Any]):
            def __getitem__(self, key: str) -> Any:
                raise ZeroDivisionError

            def __iter__(self) -> Iterator[str]:
                raise ZeroDivisionError

            def __len__(self) -> int:
                return 1

        class Dumping:
            def model_dump(self, *, warnings: bool = True) -> dict[str, Any]:
                raise RecursionError

        held = {"type": "tool_result", "content": Hostile()}
        talk: list[Any] = ["I like tea.", Hostile(), Dumping(), {"content": [Hostile(), held]}]
        assert turns(talk) == [("user", "I like tea.")]
        assert [index for index, _, _ in skipped(talk)] == [1, 2, 3, 3]

    def test_cycles_and_depth_end(self) -> None:
        cycle: list[Any] = []
        cycle.append({"type": "tool_result", "content": cycle})
        message: dict[str, Any] = {"role": "user", "content": cycle}
        message["messages"] = message["parts"] = [message]
        deep: Any = "x"
        for _ in range(100_000):
            deep = [deep]
        call = {"type": "tool_use", "name": "f", "input": deep}

        parsed = parse_messages(["I like tea.", message, {"content": [call]}])

        assert [turn.text for turn in parsed.turns] == ["I like tea."]
        assert {item.index for item in parsed.skipped} == {1, 2}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(max_size=4),
    st.text(st.characters(exclude_categories=()), max_size=8),
    st.sampled_from(
        ["user", "assistant", "human", "tool", "text", "tool_use", "image", "document"]
    ),
)
KEYS = st.sampled_from(
    "role content type text parts name tool_calls function arguments input source data media_type "
    "id kwargs refusal audio transcript messages contents choices candidates message output url "
    "image_url inline_data function_response response timestamp metadata annotations".split()
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(KEYS, SCALARS.filter(lambda x: x == x)), inner, max_size=5),
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(JUNK)
@example([{"content": "x"}, {"content": [{"type": "\ud800"}], "\ud800": 1}])
def test_whatever_is_passed_is_remembered_skipped_or_refused(value: object) -> None:
    try:
        parsed = parse_messages(value)
    except InvalidRequest:
        return
    assert parsed.turns
    for turn in parsed.turns:
        assert turn.text.strip() or turn.images
        turn.text.encode()
    for item in parsed.skipped:
        assert item.reason
        assert item.index is not None
        f"{item.text} {item.reason}".encode()


@given(st.lists(JUNK, max_size=3), st.lists(JUNK, max_size=3))
def test_good_message_is_remembered_whatever_stands_beside_it(
    before: list[Any], after: list[Any]
) -> None:
    parsed = parse_messages([*before, {"role": "user", "content": "I like tea."}, *after])
    assert [t.text for t in parsed.turns if t.index == len(before)] == ["I like tea."]


def test_receipt_lists_what_could_not_be_read_again_when_the_request_is_repeated() -> None:
    talk = ["I moved to Oslo.", {"content": [{"type": "input_audio"}]}]
    with Memory() as memory:
        first = memory.add(talk, user_id="ann", idempotency_key="k")
        again = memory.add(talk, user_id="ann", idempotency_key="k")
        waited = memory.add(talk, user_id="ben", wait=False)
        final = waited.wait()
        [many] = memory.add_many([{"messages": talk, "user_id": "cat"}]).receipts

    for receipt in (first, again, waited, final, many):
        assert [(item.index, item.part, item.text) for item in receipt.skipped] == [
            (1, 0, "input_audio")
        ]
        assert receipt.to_dict()["skipped"][0]["reason"].startswith("content[0]: is sound")
    assert again.replayed


def test_message_of_images_alone_is_skipped_word_for_word() -> None:
    image = {"type": "image_url", "image_url": "https://a.example/i.png"}
    with Memory() as memory:
        receipt = memory.add(["I like tea.", {"content": [image]}], user_id="ann", infer=False)
        facts = memory.get_all(user_id="ann").facts

    assert [fact.text for fact in facts] == ["I like tea."]
    assert [(item.index, item.reason) for item in receipt.skipped] == [
        (1, "has no text; infer=False stores only text")
    ]
