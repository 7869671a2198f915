"""The real litellm against a server on the loopback interface that fails in every way there is."""

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
    """A model that asks ``server``, its waits written down instead of waited for."""

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
def test_a_fault_that_passes_costs_a_retry_and_nothing_else(
    server: ModelServer, fault: Reply
) -> None:
    server.script(fault, fault)
    client = Client(server)
    assert client.ask().parsed == ANSWER
    assert len(server.asked) == 3
    assert len(client.waits) == 2


def test_a_server_that_hangs_is_asked_again(server: ModelServer) -> None:
    Client(server).ask()
    server.script(Hang())
    assert Client(server, timeout=0.5).ask().parsed == ANSWER


def test_a_server_is_left_alone_for_as_long_as_it_asks(server: ModelServer) -> None:
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
def test_the_number_of_tries_is_the_one_configured(server: ModelServer, retries: int) -> None:
    server.script(*[Status(code=500)] * 20)
    with pytest.raises(AdapterUnavailable, match="litellm: openai/gpt-4o-mini") as caught:
        Client(server, retries=retries).ask()
    assert len(server.asked) == retries + 1
    assert caught.value.__cause__ is not None


def test_nobody_waits_longer_than_the_patience(server: ModelServer) -> None:
    server.script(Status(code=429, headers={"Retry-After": "3600"}))
    with pytest.raises(AdapterUnavailable):
        Client(server, patience=60.0).ask()
    assert len(server.asked) == 1


def test_nobody_at_the_address_is_an_outage() -> None:
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
def test_what_the_caller_got_wrong_is_said_at_once(
    server: ModelServer, reply: Reply, path: str
) -> None:
    server.script(reply)
    with pytest.raises(InvalidRequest) as caught:
        Client(server).ask()
    assert caught.value.path == path
    assert len(server.asked) == 1


def test_a_request_that_stays_wrong_is_the_callers(server: ModelServer) -> None:
    server.script(*[Status(code=400)] * 2)
    with pytest.raises(InvalidRequest) as caught:
        Client(server).ask()
    assert caught.value.path == "language_model"


def test_a_conversation_too_long_for_the_model_is_told_apart(server: ModelServer) -> None:
    body = '{"error": {"message": "This model\'s maximum context length is 8192 tokens."}}'
    server.script(Status(code=400, body=body))
    with pytest.raises(InvalidRequest, match=r"prompt\.messages"):
        Client(server).ask()


def test_an_unknown_provider_is_the_callers_mistake(server: ModelServer) -> None:
    with pytest.raises(InvalidRequest):
        Client(server, model="nobody-knows-this", base_url="").ask()


def test_an_account_without_credit_is_out_of_reach_and_not_asked_twice(
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
        (Finish(text="", reason="length"), "allow it more"),
    ],
)
def test_no_answer_by_decision_is_not_asked_for_again(
    server: ModelServer, reply: Reply, problem: str
) -> None:
    server.script(reply)
    with pytest.raises(ModelError, match=problem):
        Client(server).ask()
    assert len(server.asked) == 1


def test_an_answer_that_broke_off_says_so_and_keeps_what_is_complete(server: ModelServer) -> None:
    server.script(Finish(text='{"facts": ["one", "tw', reason="length"))
    answer = Client(server).ask()
    assert answer.parsed == {"facts": ["one"]}
    assert answer.parameters["finish_reason"] == "length"


class TestStructuredOutput:
    def test_a_model_known_to_follow_schemas_is_held_to_it(self, server: ModelServer) -> None:
        answer = Client(server).ask()
        sent = server.asked[0].body["response_format"]
        assert sent["type"] == "json_schema"
        assert sent["json_schema"]["schema"] == SCHEMA
        assert sent["json_schema"]["strict"] is True
        assert answer.parameters["structured"] == "schema"
        assert "schema" not in server.asked[0].text

    def test_an_open_schema_is_not_asked_for_strictly(self, server: ModelServer) -> None:
        Client(server).ask(schema={**SCHEMA, "required": []})
        assert server.asked[0].body["response_format"]["json_schema"]["strict"] is False

    def test_prose_is_asked_for_without_a_schema(self, server: ModelServer) -> None:
        Client(server).ask(schema=None)
        assert "response_format" not in server.asked[0].body

    def test_a_server_that_refuses_schemas_is_asked_in_words_from_then_on(self) -> None:
        with ModelServer(answer=ANSWER, unknown=("response_format",)) as server:
            client = Client(server, model="openai/local")
            answers = [client.ask(), client.ask()]
        assert [answer.parsed for answer in answers] == [ANSWER, ANSWER]
        assert len(server.asked) == 3
        assert '"facts"' in server.asked[-1].text

    def test_a_server_that_ignores_schemas_is_asked_in_words_from_then_on(
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

    def test_a_model_known_to_follow_schemas_is_not_asked_twice(self, server: ModelServer) -> None:
        server.script("no facts")
        assert Client(server).ask().parsed is None
        assert len(server.asked) == 1


class TestFallbacks:
    def test_they_are_asked_in_turn(self, server: ModelServer) -> None:
        server.script(Status(code=500), Finish(text=None, refusal="no"))
        client = Client(server, retries=0, fallbacks=("openai/second", "openai/third"))
        answer = client.ask(schema=None)
        assert [asked.body["model"] for asked in server.asked] == ["gpt-4o-mini", "second", "third"]
        assert answer.model == "openai/third"
        first, second = answer.parameters["failed_before"]
        assert "scripted status 500" in first
        assert "refused" in second

    def test_a_model_that_answers_is_the_last_one_asked(self, server: ModelServer) -> None:
        Client(server, fallbacks=("openai/second",)).ask()
        assert len(server.asked) == 1

    def test_when_all_fail_the_last_error_names_the_others(self, server: ModelServer) -> None:
        server.script(*[Status(code=500)] * 2)
        client = Client(server, retries=0, fallbacks=("openai/second",))
        with pytest.raises(AdapterUnavailable, match="openai/second") as caught:
            client.ask(schema=None)
        assert any("gpt-4o-mini" in note for note in caught.value.__notes__)

    def test_the_callers_mistakes_are_not_hidden(self, server: ModelServer) -> None:
        server.script(Status(code=401))
        with pytest.raises(InvalidRequest):
            Client(server, fallbacks=("openai/second",)).ask()

    def test_keys_and_addresses_stay_with_their_provider(self) -> None:
        settings = LitellmSettings(model="openai/x", base_url="http://here/v1", api_key="secret")
        assert settings.access("openai/y") == {"api_base": "http://here/v1", "api_key": "secret"}
        assert settings.access("anthropic/z") == {}


class TestLimits:
    def test_no_more_requests_than_allowed_are_in_flight(self) -> None:
        with ModelServer(answer=ANSWER, latency=0.02) as server:
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

    def test_a_cancelled_caller_frees_its_turn(self, server: ModelServer) -> None:
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

    def test_bounds_of_the_settings_hold(self, server: ModelServer) -> None:
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

    def test_they_are_sent_as_parts_after_the_text(self, server: ModelServer) -> None:
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
    def test_an_address_that_litellm_would_fetch_itself_is_refused(
        self, server: ModelServer, model: str
    ) -> None:
        client = Client(server, model=model, api_key="k")
        with pytest.raises(ModelError, match="would have to be fetched by this process"):
            asyncio.run(client.model.complete(self.prompt(f"{server.url}/secret.png")))
        assert server.asked == []


class TestRecord:
    def test_tokens_cost_and_parameters_are_told(self, server: ModelServer) -> None:
        answer = Client(server, parameters={"top_p": 0.5, "user": "secret"}).ask("hello you")
        assert (answer.input_tokens, answer.output_tokens) == (4, 2)
        assert server.input_tokens == 4
        assert answer.cost == pytest.approx(4 * 0.15e-6 + 2 * 0.6e-6)
        assert answer.latency > 0
        assert answer.parameters["answered_by"] == "gpt-4o-mini"
        assert answer.parameters["top_p"] == 0.5
        assert server.asked[0].body["user"] == "secret"
        assert "secret" not in repr(answer)

    def test_a_price_that_nobody_knows_is_none(self, server: ModelServer) -> None:
        assert Client(server, model="openai/local").ask().cost is None

    def test_tokens_are_counted_as_told(self) -> None:
        with ModelServer(answer="abc", count_tokens=len) as server:
            answer = Client(server).ask("hello", schema=None)
        assert answer.output_tokens == server.output_tokens == 3

    def test_a_key_is_not_shown(self) -> None:
        assert "secret" not in repr(LitellmSettings(model="openai/x", api_key="secret"))

    def test_a_key_from_the_environment_is_not_sent_to_a_server_of_ones_own(
        self, server: ModelServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
        Client(server).ask()
        Client(server, api_key="given").ask()
        keys = [asked.headers["authorization"] for asked in server.asked]
        assert keys == ["Bearer none", "Bearer given"]


class TestSettings:
    def test_they_are_read_from_a_configuration(self) -> None:
        raw = {"model": "openai/x", "timeout": "5", "fallbacks": ["openai/y"], "temperature": 0}
        settings = structured(raw, LitellmSettings, "language_model")
        assert settings == LitellmSettings(
            model="openai/x", timeout=5.0, fallbacks=("openai/y",), temperature=0.0
        )

    def test_fallbacks_from_a_variable_are_one_text_with_commas(self) -> None:
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
    def test_what_is_wrong_is_named(self, raw: Any, problem: str) -> None:
        with pytest.raises(InvalidRequest, match=problem):
            structured(raw, LitellmSettings, "language_model")


def test_the_server_answers_by_what_it_is_asked() -> None:
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


def test_first_use_reaches_for_nothing_but_the_model_and_prints_nothing(
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
