"""Settings that all litellm adapters share: model, address, key, timeout, retries, concurrency."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge, gt, min_len

from remembrancer.adapters.server_address import server_url

_URL = server_url("http", "https", credentials="api_key")


@frozen(kw_only=True)
class Endpoint:
    """A model of a provider, and the limits of requests to it.

    Args:
        model: ``provider/model`` as in litellm; ``openai/<name>`` with a ``base_url`` for a model
            on any server with OpenAI's protocol.
        base_url: URL of the server, including ``/v1``; empty for the provider's own.
        api_key: empty to read the provider's environment variable (``OPENAI_API_KEY`` and so on).
            A key from the environment is never sent to the ``base_url`` of an ``openai/`` model:
            if your own server needs a key, set it here.
        timeout: timeout of one try, in seconds.
        retries: maximum retries after a transient failure.
        patience: seconds after the first try in which a retry may begin.
        concurrency: maximum requests in flight; more are queued.

    Raises:
        ValueError: a number out of range, or a URL that is none or contains credentials.
    """

    model: str = field(validator=min_len(1))
    base_url: str = field(default="", validator=_URL)
    api_key: str = field(default="", repr=False)
    timeout: float = field(default=60.0, validator=gt(0))
    retries: int = field(default=4, validator=ge(0))
    patience: float = field(default=180.0, validator=ge(0))
    concurrency: int = field(default=16, validator=ge(1))

    def access(self, model: str) -> dict[str, str]:
        """Return litellm's arguments with the URL and the key for ``model``.

        Empty for a model of another provider: it uses its own URL and environment variable.
        """
        if _provider(model) != _provider(self.model):
            return {}
        access = {}
        if self.base_url:
            access["api_base"] = self.base_url
        if self.api_key:
            access["api_key"] = self.api_key
        elif self.base_url and _provider(model) == "openai":
            access["api_key"] = "none"
        return access


def _provider(model: str) -> str:
    return model.partition("/")[0]
