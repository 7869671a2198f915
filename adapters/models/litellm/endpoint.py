"""Where a provider is, and how much is asked of it: what all settings over litellm share."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge, gt, min_len


@frozen(kw_only=True)
class Endpoint:
    """A model of a provider.

    Args:
        model: ``provider/model`` as litellm names them; ``openai/<name>`` with a ``base_url`` is
            a model on any server that speaks OpenAI's protocol.
        base_url: the address of the server, including ``/v1``; empty for the provider's own.
        api_key: empty to let litellm look for the provider's variable (``OPENAI_API_KEY`` and
            so on). A key from the environment is never sent to the ``base_url`` of an
            ``openai/`` model: a server of your own that wants a key is given it here.
        timeout: seconds that one try may take.
        retries: further tries after a failure that may pass.
        patience: seconds after which no further try begins.
        concurrency: requests in flight at a time; more wait for their turn.

    Raises:
        ValueError: a number out of range.
    """

    model: str = field(validator=min_len(1))
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    timeout: float = field(default=60.0, validator=gt(0))
    retries: int = field(default=4, validator=ge(0))
    patience: float = field(default=180.0, validator=ge(0))
    concurrency: int = field(default=16, validator=ge(1))

    def access(self, model: str) -> dict[str, str]:
        """The address and the key to ask ``model`` with, as litellm's arguments. A model of
        another provider is asked at its own address, with the key in its own variable.
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
