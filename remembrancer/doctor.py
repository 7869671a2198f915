"""Health check of every part by itself: the adapter, whether it answers, how far it lags.

It also works if a memory can't be opened: an exception of a part becomes a problem with an advice.
It writes nothing, creates no database, and calls no model unless ``call`` is true.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from attrs import define, evolve, field
from dependency_injector import providers

from remembrancer.adapters.redaction import Secrets
from remembrancer.adapters.stores.shared.sealing import NEWEST
from remembrancer.application.audit.health_report import Finding, HealthReport, Problem
from remembrancer.application.embedding import check_vectors
from remembrancer.application.inline import run_inline
from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import (
    AdapterUnavailable,
    Erased,
    IntegrityError,
    InvalidRequest,
    ModelError,
    RemembrancerError,
    SettingsError,
)
from remembrancer.domain.ports.language_model import ChatMessage, Prompt
from remembrancer.domain.ports.read_models import ReadModelsState, Refusal, has_state
from remembrancer.domain.recorded import Position
from remembrancer.version import __version__
from remembrancer.wiring.container import Container
from remembrancer.wiring.registry import Adapter
from remembrancer.wiring.settings import Settings, read_settings, settings_of

LIBRARIES: Mapping[str, str] = {
    "fastembed": "fastembed",
    "langchain": "langchain-core",
    "litellm": "litellm",
    "local": "onnxruntime",
    "neo4j": "neo4j",
    "pgvector": "psycopg",
    "postgres": "psycopg",
    "qdrant": "qdrant-client",
    "weaviate": "weaviate-client",
}
"""The distributions that built-in adapters depend on."""

STORES = ("audit_log", "key_vault")
EXTERNAL = {"vector_index": "index_projector", "knowledge_graph": "graph_projector"}
ASKED = ("extractor", "reconciler", "reranker")

MOST_LEDGERS = 1_000
"""Ledgers whose last event is compared with the clock; ``verify`` compares all."""

MOST_WAITING = 1_000
"""Documents without a vector that are counted; beyond this the report says "more than"."""

QUESTION = "Is the tea warm?"

RETRIED = "a worker retries automatically; check the engine"
REFUSED = "correct the setting, then start the application and its workers again"
_REFUSAL = f"{SettingsError.__name__}: "
"""How the projection state names a refusal."""


def examine(
    config: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    default_path: str | None = None,
    environment: Mapping[str, str] | None = None,
    call: bool = False,
) -> HealthReport:
    """Examine all parts.

    Args:
        config: see ``load_settings``.
        path: see ``load_settings``.
        default_path: the SQLite database if no other is configured.
        environment: see ``load_settings``.
        call: send one small request to each model, which may cost money.
    """
    secrets = Secrets()
    findings: list[Finding] = []
    try:
        raw: dict[str, Any] = read_settings(config, path=path, environment=environment)
        settings, refused = _settings(raw)
        if default_path is not None and _has_no_path(settings):
            log: Any = raw.get("audit_log", {})
            log = {"provider": log} if isinstance(log, str) else log
            raw["audit_log"] = {**log, "path": default_path}
            settings, refused = _settings(raw)
    except RemembrancerError as error:
        findings.append(Finding(part="settings", problems=(_problem(error),)))
    else:
        secrets = Secrets.of(settings)
        findings += refused
        broken = {finding.part for finding in refused}
        with _Examiner(settings, call=call) as examiner:
            findings += [
                examiner.finding(port)
                for port in (*STORES, "embedder", *EXTERNAL, "language_model", *ASKED)
                if port not in broken
            ]
    return HealthReport(
        remembrancer=__version__,
        python=platform.python_version(),
        findings=tuple(secrets.hidden_in(finding) for finding in findings),
    )


def _has_no_path(settings: Settings) -> bool:
    log = settings.audit_log
    return log.chosen == "sqlite" and log.settings.path == ":memory:"


def _settings(raw: Mapping[str, Any]) -> tuple[Settings, list[Finding]]:
    """The settings without the invalid sections, and a finding for each of those."""
    refused: list[Finding] = []
    while True:
        try:
            return settings_of(raw), refused
        except InvalidRequest as error:
            part = error.path.split(".")[0]
            # If the model is invalid, the parts that use it are not reported as well.
            consequence = part in ASKED and any(each.part == "language_model" for each in refused)
            if not consequence:
                refused.append(Finding(part=part, problems=(_problem(error),)))
            if part not in raw:
                return settings_of({}), refused
            raw = {name: section for name, section in raw.items() if name != part}


class _Examiner:
    """Builds the parts, examines them, and closes them at the end.

    Args:
        settings: the settings to examine.
        call: send one small request to each model.
    """

    def __init__(self, settings: Settings, *, call: bool) -> None:
        self._settings = settings
        self._call = call
        self._container = Container(settings, "inline")
        self._made: list[Callable[[], object]] = []
        self._embedder_known = True
        self._last_position: int | None = None

    def __enter__(self) -> _Examiner:
        return self

    def __exit__(self, *_: object) -> None:
        for close in (*self._made, self._container.close):
            # The examination is valid even if a part fails to close.
            with suppress(Exception):
                close()

    def finding(self, part: str) -> Finding:
        """The finding about one part."""
        choice = getattr(self._settings, part)
        notes = _Notes()
        try:
            self._examine(part, notes)
        except Exception as error:  # noqa: BLE001 - every exception is reported
            notes.problems.append(_problem(error))
        return Finding(
            part=part,
            provider=choice.chosen,
            engine=notes.engine,
            details=notes.details,
            problems=tuple(notes.problems),
        )

    def _examine(self, part: str, notes: _Notes) -> None:
        chosen = getattr(self._settings, part).chosen
        if chosen in ("none", "embedded"):
            return
        if part == "audit_log":
            self._store(notes)
        elif part == "key_vault":
            self._vault(notes)
        elif part in EXTERNAL:
            self._external(part, notes)
        else:
            self._model(part, chosen, notes)

    def _store(self, notes: _Notes) -> None:
        choice = self._settings.audit_log
        self._replace_broken_embedder()
        if choice.adapter.survey is None:
            notes.engine = self._container.store().ping()
        else:
            survey = choice.adapter.survey(choice.settings)
            notes.engine = survey.engine
            notes.details.update(survey.details)
            if survey.readable is None:
                self._last_position = 0
                return
            readable = evolve(choice, settings=survey.readable)
            self._container.store_choice.override(providers.Object(readable))
        run_inline(self._read_models(notes))

    def _replace_broken_embedder(self) -> None:
        """Use the hashing embedder if the configured one can't be built, to examine the log."""
        try:
            embedder = self._container.embedder()
            _ = (embedder.model, embedder.dimension)
        except Exception:  # noqa: BLE001 - reported where the embedder is examined
            from remembrancer.adapters.models.hashing import HashingEmbedder

            self._embedder_known = False
            self._container.embedder.override(providers.Object(HashingEmbedder()))

    async def _read_models(self, notes: _Notes) -> None:
        container = self._container
        last = await container.lifted_log().last_position()
        self._last_position = notes.details["last_position"] = last
        # Raises if sealed events can't be decrypted.
        await container.lifted_log().read(Position(max(0, last - NEWEST)), NEWEST)
        await self._clocks(notes)
        read_models = container.lifted_read_models()
        if self._embedder_known:
            state, refusal = await _state(read_models)
            if refusal is not None:
                notes.problem(
                    f"the read models are {state}: {refusal}",
                    "use the settings that the application uses; if the embedder or the release "
                    "has changed, or rows are missing, run remembrancer rebuild read_models",
                )
                return
            if state != "current":
                notes.problem(
                    f"the read models are {state}",
                    "open the database once, for example with remembrancer stats: the rest of the "
                    "log is applied",
                )
                return
        notes.details["read_models"] = dict(await read_models.positions())
        notes.details["pending"] = (await container.lifted_facts().tally(None)).pending
        if notes.details["pending"]:
            notes.problem(
                f"{notes.details['pending']} messages wait for extraction",
                "run remembrancer retry; if that fails, check language_model",
            )
        waiting = len(await read_models.unembedded(MOST_WAITING + 1))
        notes.details["without_vector"] = waiting
        if waiting:
            count = f"more than {MOST_WAITING}" if waiting > MOST_WAITING else f"{waiting}"
            notes.problem(
                f"{count} documents have no vector, and are found by keyword only",
                "call Memory.refill(), or add a message; if that fails, check embedder",
            )

    async def _clocks(self, notes: _Notes) -> None:
        log, now = self._container.lifted_log(), await self._container.lifted_clock().now()
        for ledger in await log.ledgers(limit=MOST_LEDGERS):
            head = await log.head(ledger)
            if head.lead(now) > self._settings.clock_lead:
                notes.problem(
                    f"the last event of {ledger} was recorded at {head.recorded_at}, but it is "
                    f"{now} now, so nothing is written to it",
                    "correct the clock; if it was wrong when that event was recorded, set "
                    "clock_lead to more seconds than the difference",
                )

    def _vault(self, notes: _Notes) -> None:
        vault: Any = self._container.key_vault()
        notes.engine = vault.ping()
        notes.details["keys"] = vault.held()

    def _external(self, part: str, notes: _Notes) -> None:
        container = self._container
        choice = getattr(self._settings, part)
        notes.engine = _library(choice.chosen, choice.adapter)
        self._replace_broken_embedder()
        engine = getattr(container, part)()
        lifted = container.lift()(engine)
        self._made.append(lambda: run_inline(lifted.close()))
        if not hasattr(engine, "ping"):
            raise InvalidRequest(f"{part}.provider", "lacks ping(); see remembrancer.domain.ports")
        try:
            notes.engine = run_inline(lifted.ping())
        finally:
            # The lag is known even if the engine does not answer.
            run_inline(self._lag(part, notes))

    async def _lag(self, part: str, notes: _Notes) -> None:
        feed = getattr(self._container, EXTERNAL[part])().feed
        if self._last_position is None:
            notes.details["lag"] = "unknown: the log can't be read"
            return
        if not self._last_position:
            return
        partition_states = await self._container.lifted_state().partition_states(part)
        if not partition_states:
            notes.problem(
                "no event was delivered to it yet", "start remembrancer worker, or add a message"
            )
            return
        behind = self._last_position - min(
            partition_state.position for partition_state in partition_states
        )
        dead = sum(partition_state.dead for partition_state in partition_states)
        notes.details["events_behind"] = behind
        notes.details["dead_letters"] = dead
        notes.details["workers"] = len({s.owner for s in partition_states if s.owner is not None})
        if self._embedder_known and any(
            s.fingerprint != feed.fingerprint for s in partition_states
        ):
            notes.problem(
                "it was filled under other settings, and searches don't use it",
                f"run remembrancer rebuild {part}",
            )
        elif behind and not notes.details["workers"]:
            notes.problem(
                f"{behind} events behind, and no worker is running", "start remembrancer worker"
            )
        if dead:
            notes.problem(
                f"it refused {dead} events",
                "list them with remembrancer dead, then run remembrancer dead --retry",
            )
        for problem in dict.fromkeys(s.problem for s in partition_states if s.problem is not None):
            notes.problem(problem, REFUSED if problem.startswith(_REFUSAL) else RETRIED)

    def _model(self, part: str, chosen: str, notes: _Notes) -> None:
        choice = getattr(self._settings, part)
        notes.engine = _library(chosen, choice.adapter)
        if part == "embedder":
            self._container.embedder.reset_override()
        model = getattr(self._container, part)()
        if part == "embedder":
            notes.details["dimension"] = model.dimension
        name = getattr(model, "model", None)
        if isinstance(name, str):
            notes.details["model"] = name
        if self._call and part in CALLS:
            before = time.perf_counter()
            run_inline(CALLS[part](self._container.lift()(model)))
            notes.details["answered_in_seconds"] = round(time.perf_counter() - before, 3)


async def _state(read_models: object) -> tuple[ReadModelsState, Refusal | None]:
    # Read models that can't tell their state are up to date when they are built, or catch up first.
    if not has_state(read_models):
        return "current", None
    return await read_models.state(), await read_models.refusal()


async def _ask_embedder(embedder: Any) -> None:
    check_vectors(embedder, [QUESTION], await embedder.embed([QUESTION], "query"))


async def _ask_model(model: Any) -> None:
    question = ChatMessage(role=Role.USER, content=QUESTION)
    await model.complete(
        Prompt(system="Answer with one word.", messages=(question,), max_output_tokens=16)
    )


async def _ask_reranker(reranker: Any) -> None:
    await reranker.rerank(QUESTION, ["The tea is warm."])


CALLS: Mapping[str, Callable[[Any], Coroutine[Any, Any, None]]] = {
    "embedder": _ask_embedder,
    "language_model": _ask_model,
    "reranker": _ask_reranker,
}


@define
class _Notes:
    """Collects the results for one part."""

    engine: str | None = None
    details: dict[str, Any] = field(factory=dict)
    problems: list[Problem] = field(factory=list)

    def problem(self, what: str, advice: str) -> None:
        self.problems.append(Problem(what=what, advice=advice))


def _problem(error: Exception) -> Problem:
    """An exception of a part, with an advice."""
    match error:
        case InvalidRequest():
            advice = f"correct {error.path}"
        case AdapterUnavailable():
            advice = "start it, or correct its address; then run doctor again"
        case Erased():
            advice = "correct key_vault, or restore the vault"
        case IntegrityError():
            advice = "stop writing to it, and restore a backup"
        case ModelError():
            advice = "choose another model, or check the provider"
        case RemembrancerError():
            advice = "run doctor again"
        case _:
            return Problem(
                what=f"{type(error).__name__}: {error}",
                advice="an adapter must not raise this; report it to the author of the adapter",
            )
    return Problem(what=str(error), advice=advice)


def _library(chosen: str, adapter: Adapter) -> str | None:
    """Name and version of the distribution that an adapter depends on, if installed."""
    package = adapter.settings.__module__.partition(".")[0]
    if package == "remembrancer":
        name = LIBRARIES.get(chosen)
    else:
        # This reads the file lists of all installed distributions, which takes seconds.
        name = next(iter(packages_distributions().get(package, ())), None)
    if name is None:
        return None
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return None
