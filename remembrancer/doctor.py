"""Looking at every part on its own: what is chosen, does it answer, how far is it behind.

It works where a memory can't be opened, and that is what it is for: whatever a part raises becomes
a finding with an advice. It writes nothing, makes no database, and calls no model unless asked to.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from attrs import define, evolve, field
from dependency_injector import providers

from remembrancer.adapters.stores.shared.sealing import NEWEST
from remembrancer.application.audit.health_report import Finding, HealthReport, Problem
from remembrancer.application.embedding import check_vectors
from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import (
    AdapterUnavailable,
    Erased,
    IntegrityError,
    InvalidRequest,
    ModelError,
    RemembrancerError,
)
from remembrancer.domain.ports.language_model import ChatMessage, Prompt
from remembrancer.domain.recorded import Position
from remembrancer.runtime.sync_bridge import run_inline
from remembrancer.wiring.container import Container
from remembrancer.wiring.redaction import Secrets
from remembrancer.wiring.registry import Adapter
from remembrancer.wiring.settings import Settings, read_settings, settings_of

LIBRARIES: Mapping[str, str] = {
    "fastembed": "fastembed",
    "langchain": "langchain-core",
    "litellm": "litellm",
    "neo4j": "neo4j",
    "pgvector": "psycopg",
    "postgres": "psycopg",
    "qdrant": "qdrant-client",
    "weaviate": "weaviate-client",
}
"""The distributions that built-in adapters stand on."""

SURVEYS: Mapping[str, str] = {
    "sqlite": "remembrancer.adapters.stores.sqlite.survey:survey",
    "postgres": "remembrancer.adapters.stores.postgres.survey:survey",
}
"""How built-in home stores are looked at before they are opened."""

STORES = ("audit_log", "key_vault")
EXTERNAL = {"vector_index": "index_projector", "knowledge_graph": "graph_projector"}
ASKED = ("extractor", "reconciler", "reranker")

MOST_WAITING = 1_000
"""Documents without a vector that are counted; more are told as more."""

QUESTION = "Is the tea warm?"


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
        config: as for ``load_settings``.
        path: likewise.
        default_path: the SQLite database where nobody names one.
        environment: as for ``load_settings``.
        call: make one small real request of each model, which may cost money.
    """
    secrets = Secrets()
    findings: list[Finding] = []
    try:
        raw: dict[str, Any] = read_settings(config, path=path, environment=environment)
        settings, refused = _settings(raw)
        if default_path is not None and _unnamed(settings):
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
        remembrancer=version("remembrancer"),
        python=platform.python_version(),
        findings=tuple(secrets.hidden_in(finding) for finding in findings),
    )


def _unnamed(settings: Settings) -> bool:
    log = settings.audit_log
    return log.chosen == "sqlite" and log.settings.path == ":memory:"


def _settings(raw: Mapping[str, Any]) -> tuple[Settings, list[Finding]]:
    """The settings without the sections that are wrong, and what is wrong with those."""
    refused: list[Finding] = []
    while True:
        try:
            return settings_of(raw), refused
        except InvalidRequest as error:
            part = error.path.split(".")[0]
            # Those that ask a model are not to blame if there is something wrong with the model.
            consequence = part in ASKED and any(each.part == "language_model" for each in refused)
            if not consequence:
                refused.append(Finding(part=part, problems=(_problem(error),)))
            if part not in raw:
                return settings_of({}), refused
            raw = {name: section for name, section in raw.items() if name != part}


class _Examiner:
    """Holds the parts while they are examined, and lets go of them.

    Args:
        settings: what is chosen.
        call: whether models are asked something.
    """

    def __init__(self, settings: Settings, *, call: bool) -> None:
        self._settings = settings
        self._call = call
        self._container = Container(
            settings=providers.Object(settings), mode=providers.Object("inline")
        )
        self._made: list[Callable[[], object]] = []
        self._embedder_known = True
        self._last_position: int | None = None

    def __enter__(self) -> _Examiner:
        return self

    def __exit__(self, *_: object) -> None:
        for close in (*self._made, self._container.shutdown_resources):
            # A part that fails to close has been examined all the same.
            with suppress(Exception):
                close()

    def finding(self, part: str) -> Finding:
        """What there is to say about one part."""
        choice = getattr(self._settings, part)
        notes = _Notes()
        try:
            self._examine(part, notes)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
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
            self._home(notes)
        elif part == "key_vault":
            self._vault(notes)
        elif part in EXTERNAL:
            self._external(part, notes)
        else:
            self._model(part, chosen, notes)

    def _home(self, notes: _Notes) -> None:
        choice = self._settings.audit_log
        self._stand_in_for_embedder()
        if choice.chosen in SURVEYS:
            details, readable = _attribute(SURVEYS[choice.chosen])(choice.settings)
            notes.engine = details["engine"]
            notes.details.update({k: v for k, v in details.items() if k != "engine"})
            if readable is None:
                self._last_position = 0
                return
            self._settings = evolve(self._settings, audit_log=evolve(choice, settings=readable))
            self._container.settings.override(providers.Object(self._settings))
        elif choice.chosen != "memory":
            notes.engine = self._container.home().ping()
        if choice.chosen != "memory":
            run_inline(self._read_models(notes))

    def _stand_in_for_embedder(self) -> None:
        """What is in the log can be told without the embedder, if that one can't be made."""
        try:
            embedder = self._container.embedder()
            _ = (embedder.model, embedder.dimension)
        except Exception:  # noqa: BLE001 - told where the embedder is examined
            from remembrancer.adapters.models.hashing import HashingEmbedder

            self._embedder_known = False
            self._container.embedder.override(providers.Object(HashingEmbedder()))

    async def _read_models(self, notes: _Notes) -> None:
        container = self._container
        last = await container.lifted_log().last_position()
        self._last_position = notes.details["last_position"] = last
        # What is sealed can be read; what can't be is a finding.
        await container.lifted_log().read(Position(max(0, last - NEWEST)), NEWEST)
        read_models = container.lifted_read_models()
        if self._embedder_known and hasattr(read_models, "state"):
            state = await read_models.state()
            if state != "current":
                notes.problem(
                    f"the read models are {state}",
                    "open it once, as remembrancer stats does: they are brought up to the log, or "
                    "made again from it, and texts are embedded where the embedder is another one",
                )
                return
        notes.details["read_models"] = dict(await read_models.positions())
        notes.details["pending"] = (await container.lifted_facts().tally(None)).pending
        if notes.details["pending"]:
            notes.problem(
                f"{notes.details['pending']} messages wait for a model",
                "run remembrancer retry; if they stay, look at language_model",
            )
        waiting = len(await read_models.unembedded(MOST_WAITING + 1))
        notes.details["without_vector"] = waiting
        if waiting:
            count = f"more than {MOST_WAITING}" if waiting > MOST_WAITING else f"{waiting}"
            notes.problem(
                f"{count} documents have no vector, and are found by their words alone",
                "call Memory.refill(), or add something; if they stay, look at embedder",
            )

    def _vault(self, notes: _Notes) -> None:
        vault: Any = self._container.key_vault()
        notes.engine = vault.ping()
        notes.details["keys"] = vault.held()

    def _external(self, part: str, notes: _Notes) -> None:
        container = self._container
        choice = getattr(self._settings, part)
        notes.engine = _library(choice.chosen, choice.adapter)
        self._stand_in_for_embedder()
        engine = getattr(container, part)()
        lifted = container.lift()(engine)
        self._made.append(lambda: run_inline(lifted.close()))
        if not hasattr(engine, "ping"):
            raise InvalidRequest(f"{part}.provider", "lacks ping(); see remembrancer.domain.ports")
        try:
            notes.engine = run_inline(lifted.ping())
        finally:
            # How far it is behind is known even if it does not answer.
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
            notes.problem("it has never been fed", "start remembrancer worker, or add something")
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
                "it was fed under other settings, and searches do without it",
                f"run remembrancer rebuild {part}",
            )
        elif behind and not notes.details["workers"]:
            notes.problem(
                f"{behind} events behind, and nobody at work", "start remembrancer worker"
            )
        if dead:
            notes.problem(
                f"{dead} events that it would not take",
                "see remembrancer dead, and then remembrancer dead --retry",
            )
        for problem in dict.fromkeys(s.problem for s in partition_states if s.problem is not None):
            notes.problem(problem, "a worker tries again by itself; see what the engine says")

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
    """What is found out about one part, as it is found out."""

    engine: str | None = None
    details: dict[str, Any] = field(factory=dict)
    problems: list[Problem] = field(factory=list)

    def problem(self, what: str, advice: str) -> None:
        self.problems.append(Problem(what=what, advice=advice))


def _problem(error: Exception) -> Problem:
    """What a part raised, and what to do about it."""
    match error:
        case InvalidRequest():
            advice = f"set {error.path} right"
        case AdapterUnavailable():
            advice = "start it, or set right where it is to be found; then ask again"
        case Erased():
            advice = "set key_vault right, or restore the vault"
        case IntegrityError():
            advice = "stop writing to it, and restore a backup"
        case ModelError():
            advice = "choose another model, or look at what the provider says"
        case RemembrancerError():
            advice = "ask again"
        case _:
            return Problem(
                what=f"{type(error).__name__}: {error}",
                advice="an adapter should not raise this: tell those who made it",
            )
    return Problem(what=str(error), advice=advice)


def _library(chosen: str, adapter: Adapter) -> str | None:
    """Name and version of the distribution that an adapter stands on, if it is installed."""
    package = adapter.settings.__module__.partition(".")[0]
    names = packages_distributions().get(package, ())
    name = LIBRARIES.get(chosen) if package == "remembrancer" else next(iter(names), None)
    if name is None:
        return None
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return None


def _attribute(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
