"""Contract tests of all language models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remembrancer.adapters.models.litellm.language_model import (
    LitellmLanguageModel,
    LitellmSettings,
)
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from remembrancer.testing.driving import Driven
from remembrancer.testing.language_model import LanguageModelContract, Trouble, asking
from remembrancer.testing.model_server import Finish, ModelServer, Reply, Status
from remembrancer.testing.scripted_model import Said, ScriptedModel

SAID: dict[Trouble, Said] = {
    Trouble.DOWN: AdapterUnavailable("scripted", "down"),
    Trouble.EMPTY: ModelError("nothing"),
    Trouble.REFUSED: ModelError("refused"),
    Trouble.WRONG_KEY: InvalidRequest("language_model.api_key", "wrong"),
}
REPLIES: dict[Trouble, Reply] = {
    Trouble.DOWN: Status(code=503),
    Trouble.EMPTY: Finish(text=""),
    Trouble.REFUSED: Finish(text=None, refusal="I can't help with that."),
    Trouble.WRONG_KEY: Status(code=401),
}


async def at_once(_seconds: float) -> None:
    """Replaces the sleep between retries."""


class TestScriptedModel(LanguageModelContract):
    def make_model(self, *script: str | Trouble) -> ScriptedModel:
        said = [SAID[each] if isinstance(each, Trouble) else each for each in script]
        return ScriptedModel(*said, otherwise=said[-1])

    def test_prompt_beyond_the_script_raises_assertion_error(self) -> None:
        with pytest.raises(AssertionError, match="no answer to prompt 1"):
            Driven(ScriptedModel()).complete(asking())


@pytest.mark.slow
class TestModelWithSchemaSupport(LanguageModelContract):
    name = "openai/gpt-4o-mini"
    unknown: tuple[str, ...] = ()

    @pytest.fixture(autouse=True)
    def servers(self) -> Iterator[None]:
        self.running: list[ModelServer] = []
        yield
        for server in self.running:
            server.__exit__(None, None, None)

    def make_model(self, *script: str | Trouble) -> LitellmLanguageModel:
        replies = [REPLIES[each] if isinstance(each, Trouble) else each for each in script]
        server = ModelServer(answer=replies[-1], unknown=self.unknown)
        server.script(*replies)
        self.running.append(server.__enter__())
        settings = LitellmSettings(model=self.name, base_url=server.url)
        return LitellmLanguageModel(settings, sleep=at_once)


class TestModelOfUnknownServer(TestModelWithSchemaSupport):
    name = "openai/local"


class TestModelOfServerWithoutSchemas(TestModelWithSchemaSupport):
    name = "openai/local"
    unknown = ("response_format",)
