"""litellm against a local server with every kind of failure."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from remembrancer.adapters.models.litellm.language_model import (
    LitellmLanguageModel,
    LitellmSettings,
)
from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from remembrancer.domain.ports.language_model import ChatMessage, Completion, Prompt
from remembrancer.testing.model_server import (
    Asked,
    CutOff,
    Finish,
    Hang,
    ModelServer,
    Reply,
    Status,
)
from remembrancer.wiring.settings import structured

pytestmark = pytest.mark.slow

SCHEMA = {
    "type": "object",
    "properties": {"facts": {"type": "array", "items": {"type": "string"}}},
    "required": ["facts"],
    "additionalProperties": False,
}
ANSWER = {"facts": ["one"]}
KNOWN = "openai/gpt-4o-mini"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(answer=ANSWER) as server:
        yield server


class Client:
    """A language model that calls ``server`` and records its sleeps instead of sleeping."""

    def __init__(self, server: ModelServer, **settings: Any) -> None:
        self.waits: list[float] = []
        settings = {"model": KNOWN, "base_url": server.url, **settings}
        self.model = LitellmLanguageModel(LitellmSettings(**settings), sleep=self._wait)

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def ask(self, text: str = "hello", schema: Any = SCHEMA, **limits: Any) -> Completion:
        return asyncio.run(self.model.complete(asking(text, schema=schema, **limits)))


def asking(text: str, **more: Any) -> Prompt:
    message = ChatMessage(role=Role.USER, content=text)
    return Prompt(system="List facts.", messages=(message,), **more)


@pytest.mark.parametrize(
    "fault",
    [
        Status(code=429),
        Status(code=408),
        Status(code=500),
        Status(code=502, body="<html>Bad Gateway</html>"),
        Status(code=503),
        Status(code=529),
        CutOff(after=0),
        CutOff(after=20),
        CutOff(after=250),
        Status(code=200, body="<html>Welcome to the café's network</html>"),
        Status(code=200, body='{"choices": ['),
        Status(code=200, body="{}"),
        Status(code=200, body='{"choices": []}'),
        Status(code=200, body=""),
        Finish(text=""),
        Finish(text=None),
    ],
    ids=repr,
)
def test_transient_failure_is_retried(server: ModelServer, fault: Reply) -> None:
    server.script(fault, fault)
    client = Client(server)
    assert client.ask().parsed == ANSWER
    assert len(server.asked) == 3
    assert len(client.waits) == 2


def test_timeout_is_retried(server: ModelServer) -> None:
    Client(server).ask()
    server.script(Hang())
    assert Client(server, timeout=0.5).ask().parsed == ANSWER


def test_retry_after_header_is_respected(server: ModelServer) -> None:
    server.script(
        Status(code=429, headers={"Retry-After": "7"}),
        Status(code=503, headers={"retry-after-ms": "2500"}),
    )
    client = Client(server)
    client.ask()
    first, second = client.waits
    assert 7.0 <= first <= 8.0
    assert 2.5 <= second <= 3.5


@pytest.mark.parametrize("retries", [0, 2])
def test_number_of_retries_is_configurable(server: ModelServer, retries: int) -> None:
    server.script(*[Status(code=500)] * 20)
    with pytest.raises(AdapterUnavailable, match="litellm: openai/gpt-4o-mini") as caught:
        Client(server, retries=retries).ask()
    assert len(server.asked) == retries + 1
    assert caught.value.__cause__ is not None


def test_retry_after_beyond_the_patience_is_not_awaited(server: ModelServer) -> None:
    server.script(Status(code=429, headers={"Retry-After": "3600"}))
    with pytest.raises(AdapterUnavailable):
        Client(server, patience=60.0).ask()
    assert len(server.asked) == 1


def test_refused_connection_is_adapter_unavailable() -> None:
    with ModelServer() as gone:
        pass
    with pytest.raises(AdapterUnavailable):
        Client(gone, retries=1).ask()


@pytest.mark.parametrize(
    ("reply", "path"),
    [
        (Status(code=401), "language_model.api_key"),
        (Status(code=403), "language_model.api_key"),
        (Status(code=404), "language_model.model"),
        (Status(code=413), "prompt.messages"),
    ],
)
def test_client_error_is_not_retried(server: ModelServer, reply: Reply, path: str) -> None:
    server.script(reply)
    with pytest.raises(InvalidRequest) as caught:
        Client(server).ask()
    assert caught.value.path == path
    assert len(server.asked) == 1


def test_repeated_bad_request_is_an_invalid_request(server: ModelServer) -> None:
    server.script(*[Status(code=400)] * 2)
    with pytest.raises(InvalidRequest) as caught:
        Client(server).ask()
    assert caught.value.path == "language_model"


def test_context_length_error_names_the_messages(server: ModelServer) -> None:
    body = '{"error": {"message": "This model\'s maximum context length is 8192 tokens."}}'
    server.script(Status(code=400, body=body))
    with pytest.raises(InvalidRequest, match=r"prompt\.messages"):
        Client(server).ask()


def test_unknown_provider_is_an_invalid_request(server: ModelServer) -> None:
    with pytest.raises(InvalidRequest):
        Client(server, model="nobody-knows-this", base_url="").ask()


def test_account_without_credit_is_unavailable_and_not_retried(
    server: ModelServer,
) -> None:
    server.script(Status(code=402))
    with pytest.raises(AdapterUnavailable, match="credit"):
        Client(server).ask()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Finish(text=None, refusal="I can't."), "refused to answer"),
        (Finish(text="", reason="content_filter"), "refused to answer"),
        (Finish(text="", reason="length"), "raise max_output_tokens"),
    ],
)
def test_refusal_is_not_retried(server: ModelServer, reply: Reply, problem: str) -> None:
    server.script(reply)
    with pytest.raises(ModelError, match=problem):
        Client(server).ask()
    assert len(server.asked) == 1


def test_truncated_answer_keeps_its_complete_items(server: ModelServer) -> None:
    server.script(Finish(text='{"facts": ["one", "tw', reason="length"))
    answer = Client(server).ask()
    assert answer.parsed == {"facts": ["one"]}
    assert answer.parameters["finish_reason"] == "length"


class TestStructuredOutput:
    def test_model_with_schema_support_gets_a_strict_schema(self, server: ModelServer) -> None:
        answer = Client(server).ask()
        sent = server.asked[0].body["response_format"]
        assert sent["type"] == "json_schema"
        assert sent["json_schema"]["schema"] == SCHEMA
        assert sent["json_schema"]["strict"] is True
        assert answer.parameters["structured"] == "schema"
        assert "schema" not in server.asked[0].text

    def test_open_schema_is_not_sent_as_strict(self, server: ModelServer) -> None:
        Client(server).ask(schema={**SCHEMA, "required": []})
        assert server.asked[0].body["response_format"]["json_schema"]["strict"] is False

    def test_prompt_without_a_schema_sends_no_response_format(self, server: ModelServer) -> None:
        Client(server).ask(schema=None)
        assert "response_format" not in server.asked[0].body

    def test_server_that_refuses_schemas_gets_them_in_the_prompt_afterwards(self) -> None:
        with ModelServer(answer=ANSWER, unknown=("response_format",)) as server:
            client = Client(server, model="openai/local")
            answers = [client.ask(), client.ask()]
        assert [answer.parsed for answer in answers] == [ANSWER, ANSWER]
        assert len(server.asked) == 3
        assert '"facts"' in server.asked[-1].text

    def test_server_that_ignores_schemas_gets_them_in_the_prompt_afterwards(
        self, server: ModelServer
    ) -> None:
        server.script("The facts are: one.")
        client = Client(server, model="openai/local")
        answers = [client.ask(), client.ask()]
        assert [answer.parsed for answer in answers] == [ANSWER, ANSWER]
        assert [asked.body.get("response_format") is None for asked in server.asked] == [
            False,
            True,
            True,
        ]
        assert answers[0].output_tokens > answers[1].output_tokens

    def test_model_with_schema_support_is_not_called_twice(self, server: ModelServer) -> None:
        server.script("no facts")
        assert Client(server).ask().parsed is None
        assert len(server.asked) == 1


class TestFallbacks:
    def test_fallbacks_are_called_in_order(self, server: ModelServer) -> None:
        server.script(Status(code=500), Finish(text=None, refusal="no"))
        client = Client(server, retries=0, fallbacks=("openai/second", "openai/third"))
        answer = client.ask(schema=None)
        assert [asked.body["model"] for asked in server.asked] == ["gpt-4o-mini", "second", "third"]
        assert answer.model == "openai/third"
        first, second = answer.parameters["failed_before"]
        assert "scripted status 500" in first
        assert "refused" in second

    def test_no_fallback_is_called_after_an_answer(self, server: ModelServer) -> None:
        Client(server, fallbacks=("openai/second",)).ask()
        assert len(server.asked) == 1

    def test_last_error_names_the_failures_before(self, server: ModelServer) -> None:
        server.script(*[Status(code=500)] * 2)
        client = Client(server, retries=0, fallbacks=("openai/second",))
        with pytest.raises(AdapterUnavailable, match="openai/second") as caught:
            client.ask(schema=None)
        assert any("gpt-4o-mini" in note for note in caught.value.__notes__)

    def test_invalid_request_calls_no_fallback(self, server: ModelServer) -> None:
        server.script(Status(code=401))
        with pytest.raises(InvalidRequest):
            Client(server, fallbacks=("openai/second",)).ask()

    def test_api_key_and_base_url_are_not_sent_to_another_provider(self) -> None:
        settings = LitellmSettings(model="openai/x", base_url="http://here/v1", api_key="secret")
        assert settings.access("openai/y") == {"api_base": "http://here/v1", "api_key": "secret"}
        assert settings.access("anthropic/z") == {}


class TestLimits:
    def test_concurrent_requests_are_limited(self) -> None:
        with ModelServer(answer=ANSWER, latency=0.02, meeting=3) as server:
            client = Client(server, concurrency=3)

            async def many() -> list[Completion]:
                prompts = [asking(f"number {number}", schema=SCHEMA) for number in range(12)]
                return await asyncio.gather(*map(client.model.complete, prompts))

            answers: list[Completion] = []
            threads = [
                threading.Thread(target=lambda: answers.extend(asyncio.run(many())))
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(answers) == len(server.asked) == 24
        assert server.most_at_once == 3

    def test_cancelled_call_frees_its_slot(self, server: ModelServer) -> None:
        client = Client(server, concurrency=1)
        client.ask()
        server.script(Hang())

        async def impatient() -> Completion:
            first = asyncio.ensure_future(client.model.complete(asking("one")))
            while len(server.asked) < 2:
                await asyncio.sleep(0)
            first.cancel()
            return await client.model.complete(asking("two"))

        assert asyncio.run(impatient()).text

    def test_settings_bound_the_output_tokens(self, server: ModelServer) -> None:
        client = Client(server, max_output_tokens=50, temperature=0.5)
        client.ask(max_output_tokens=40)
        client.ask(max_output_tokens=4000, temperature=0.0)
        assert [asked.body["max_tokens"] for asked in server.asked] == [40, 50]
        assert [asked.body["temperature"] for asked in server.asked] == [0.5, 0.5]


class TestImages:
    PIXEL = "data:image/png;base64,iVBORw=="
    ADDRESS = "https://a.example/b.png"

    def prompt(self, *images: str) -> Prompt:
        message = ChatMessage(role=Role.USER, content="What is this?", images=images)
        return Prompt(system="", messages=(message,))

    def test_images_are_sent_as_parts_after_the_text(self, server: ModelServer) -> None:
        asyncio.run(Client(server).model.complete(self.prompt(self.PIXEL, self.ADDRESS)))
        assert server.asked[0].body["messages"] == [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": self.PIXEL}},
                    {"type": "image_url", "image_url": {"url": self.ADDRESS}},
                ],
            }
        ]

    @pytest.mark.parametrize("model", ["gemini/gemini-2.0-flash", "ollama/llava"])
    def test_image_url_that_litellm_would_fetch_is_refused(
        self, server: ModelServer, model: str
    ) -> None:
        client = Client(server, model=model, api_key="k")
        with pytest.raises(ModelError, match="would have to be fetched by this process"):
            asyncio.run(client.model.complete(self.prompt(f"{server.url}/secret.png")))
        assert server.asked == []


class TestRecord:
    def test_completion_reports_tokens_cost_and_parameters(self, server: ModelServer) -> None:
        answer = Client(server, parameters={"top_p": 0.5, "user": "secret"}).ask("hello you")
        assert (answer.input_tokens, answer.output_tokens) == (4, 2)
        assert server.input_tokens == 4
        assert answer.cost == pytest.approx(4 * 0.15e-6 + 2 * 0.6e-6)
        assert answer.latency > 0
        assert answer.parameters["answered_by"] == "gpt-4o-mini"
        assert answer.parameters["top_p"] == 0.5
        assert server.asked[0].body["user"] == "secret"
        assert "secret" not in repr(answer)

    def test_unknown_price_is_none(self, server: ModelServer) -> None:
        assert Client(server, model="openai/local").ask().cost is None

    def test_token_counts_come_from_the_server(self) -> None:
        with ModelServer(answer="abc", count_tokens=len) as server:
            answer = Client(server).ask("hello", schema=None)
        assert answer.output_tokens == server.output_tokens == 3

    def test_api_key_is_not_in_the_repr(self) -> None:
        assert "secret" not in repr(LitellmSettings(model="openai/x", api_key="secret"))

    def test_api_key_from_the_environment_is_not_sent_to_a_custom_server(
        self, server: ModelServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
        Client(server).ask()
        Client(server, api_key="given").ask()
        keys = [asked.headers["authorization"] for asked in server.asked]
        assert keys == ["Bearer none", "Bearer given"]


class TestSettings:
    def test_settings_are_parsed_from_a_configuration(self) -> None:
        raw = {"model": "openai/x", "timeout": "5", "fallbacks": ["openai/y"], "temperature": 0}
        settings = structured(raw, LitellmSettings, "language_model")
        assert settings == LitellmSettings(
            model="openai/x", timeout=5.0, fallbacks=("openai/y",), temperature=0.0
        )

    def test_fallbacks_can_be_a_comma_separated_string(self) -> None:
        raw = {"model": "openai/x", "fallbacks": "openai/y, openai/z"}
        settings = structured(raw, LitellmSettings, "language_model")
        assert settings.fallbacks == ("openai/y", "openai/z")

    @pytest.mark.parametrize(
        ("raw", "problem"),
        [
            ({}, "model"),
            ({"model": "openai/x", "timeout": 0}, "timeout"),
            ({"model": "openai/x", "retries": -1}, "retries"),
            ({"model": "openai/x", "concurrency": 0}, "concurrency"),
            ({"model": "openai/x", "fallbacks": 5}, "expected a list of strings"),
            ({"model": "openai/x", "parameters": {"stream": True}}, "parameters.stream"),
            ({"model": "openai/x", "bse_url": "x"}, "did you mean base_url"),
        ],
    )
    def test_invalid_setting_is_refused_by_name(self, raw: Any, problem: str) -> None:
        with pytest.raises(InvalidRequest, match=problem):
            structured(raw, LitellmSettings, "language_model")


def test_model_server_can_answer_with_a_function() -> None:
    def shout(asked: Asked) -> Reply:
        return asked.body["messages"][-1]["content"].upper()

    with ModelServer(answer=shout) as server:
        assert Client(server).ask("hello", schema=None).text == "HELLO"


FIRST_USE = """
import asyncio, os, sys
from remembrancer.adapters.models.litellm.language_model import (
    LitellmLanguageModel,
    LitellmSettings,
)
from remembrancer.domain.conversation import Role
from remembrancer.domain.ports.language_model import ChatMessage, Prompt

reached = set()
def connect(event, arguments):
    if event == "socket.connect" and arguments[1][0] != "127.0.0.1":
        reached.add(arguments[1])
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", None):
        reached.add(arguments[0])
sys.addaudithook(connect)

model = LitellmLanguageModel(LitellmSettings(model="openai/local", base_url=sys.argv[1]))
assert "litellm" not in sys.modules, "imported before it is used"
prompt = Prompt(system="", messages=(ChatMessage(role=Role.USER, content="hello"),))
for _ in range(2):
    assert asyncio.run(model.complete(prompt)).text == "hello"
assert not reached, reached
assert "FROM_A_FILE" not in os.environ
"""


def test_first_use_connects_only_to_the_model_and_prints_nothing(
    server: ModelServer, tmp_path: Any
) -> None:
    server.script("hello", "hello")
    (tmp_path / ".env").write_text("FROM_A_FILE=1\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIRST_USE, server.url],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if not key.startswith("LITELLM")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
