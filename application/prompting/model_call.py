"""One call to a language model, and the ``InferenceRecorded`` event of its outcome."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict, field, frozen

from remembrancer.application.prompting.cleaning import storable
from remembrancer.application.prompting.prompt_template import PromptTemplate
from remembrancer.domain.conversation import Role
from remembrancer.domain.events import InferenceRecorded, Outcome
from remembrancer.domain.facts.fact import MessageId
from remembrancer.domain.ports.language_model import ChatMessage, Completion, LanguageModel, Prompt


@frozen(kw_only=True)
class ModelCall:
    """A prompt and the metadata of its record: purpose, template, further parameters, what the
    numbers in the prompt stand for (``shown``), and the messages in it (``seen``).
    """

    purpose: str
    template: PromptTemplate
    prompt: Prompt
    more: Mapping[str, Any] = field(factory=dict)
    shown: Mapping[str, str] = field(factory=dict)
    seen: tuple[MessageId, ...] = ()

    @classmethod
    def of(
        cls,
        purpose: str,
        template: PromptTemplate,
        turn: Mapping[str, str],
        *,
        schema: Mapping[str, Any] | None,
        max_output_tokens: int,
        images: tuple[str, ...] = (),
        parameters: Mapping[str, Any] | None = None,
        shown: Mapping[str, str] | None = None,
        seen: Iterable[MessageId] = (),
    ) -> ModelCall:
        """A call from a template.

        Args:
            purpose: the ``purpose`` of the record.
            template: the prompt template.
            turn: values of the placeholders in the user message.
            schema: JSON schema of the answer; ``None``: plain text.
            max_output_tokens: maximum of output tokens.
            images: URLs of images in the user message.
            parameters: further parameters of the record.
            shown: what the numbers in the prompt stand for, as in ``InferenceRecorded``.
            seen: the messages in the prompt.
        """
        return cls(
            purpose=purpose,
            template=template,
            prompt=Prompt(
                system=template.system,
                messages=(ChatMessage(role=Role.USER, content=template.turn(turn), images=images),),
                schema=schema,
                max_output_tokens=max_output_tokens,
            ),
            more=parameters or {},
            shown=shown or {},
            seen=tuple(dict.fromkeys(seen)),
        )

    def answered(
        self, completion: Completion, messages: Sequence[MessageId] = ()
    ) -> InferenceRecorded:
        """The record of a usable answer to ``messages``."""
        return self._record(completion, messages, Outcome.USED)

    def answered_in_vain(self, completion: Completion) -> InferenceRecorded:
        """The record of an unusable answer."""
        return self._record(completion, (), Outcome.VAIN)

    def refused(self, model: LanguageModel, error: Exception) -> InferenceRecorded:
        """The record of a call without an answer."""
        return InferenceRecorded(
            purpose=self.purpose,
            model=model.model,
            prompt_digest=self.template.digest,
            request_digest=request_digest(self.prompt),
            parameters={**self._parameters, "error": storable(str(error))},
            shown=self.shown,
            seen=self.seen,
            outcome=Outcome.VAIN,
            output="",
        )

    def was_cut_off(self, completion: Completion) -> bool:
        """Whether the answer ends before its end, as far as is known."""
        if completion.cut_off is not None:
            return completion.cut_off
        return completion.output_tokens >= self.prompt.max_output_tokens

    @property
    def _parameters(self) -> Mapping[str, Any]:
        return {
            "prompt": self.template.name,
            "temperature": self.prompt.temperature,
            "max_output_tokens": self.prompt.max_output_tokens,
            **self.more,
        }

    def _record(
        self, completion: Completion, messages: Sequence[MessageId], outcome: Outcome
    ) -> InferenceRecorded:
        return InferenceRecorded(
            purpose=self.purpose,
            model=completion.model,
            prompt_digest=self.template.digest,
            request_digest=request_digest(self.prompt),
            shown=self.shown,
            seen=self.seen,
            outcome=outcome,
            parameters={**self._parameters, **completion.parameters},
            output=storable(completion.text),
            input_tokens=completion.input_tokens,
            output_tokens=completion.output_tokens,
            latency=completion.latency,
            messages=tuple(messages),
            cost=completion.cost,
        )


def request_digest(prompt: Prompt) -> str:
    """SHA-256 (hex) of all that is sent: system, messages, schema and parameters. Equal prompts
    have equal digests on every machine.
    """
    sent = json.dumps(asdict(prompt), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(sent.encode()).hexdigest()
