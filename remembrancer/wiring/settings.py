"""Read and check settings: one section per port, each with a ``provider``.

Settings come from a mapping, a TOML or YAML file, or ``REMEMBRANCER_*`` variables
(``REMEMBRANCER_AUDIT_LOG__PATH=app.db``; ``REMEMBRANCER_DB`` is short for it). An unknown key is an
error.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import cattrs
from attrs import field, fields, frozen
from attrs.validators import ge, gt
from cattrs.gen import make_dict_structure_fn

from remembrancer.application.parsing.limits import Limits
from remembrancer.application.projections.projector import ProjectionSettings
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.recall.ranking import Weights
from remembrancer.domain.recorded import CLOCK_LEAD
from remembrancer.wiring.registry import PORTS, Adapter, adapter_named

T = TypeVar("T")

VARIABLE = "REMEMBRANCER_"
DEFAULTS = {
    "audit_log": "sqlite",
    "key_vault": "none",
    "vector_index": "embedded",
    "knowledge_graph": "embedded",
    "embedder": "hashing",
    "language_model": "none",
    "extractor": "rules",
    "reconciler": "rules",
    "reranker": "none",
}
ALONE = ("patience", "concurrency", "grace", "retry_on_add", "actor_names", "clock_lead")
"""Settings outside of sections."""

ASKING: tuple[str, ...] = ("extractor", "reconciler")
"""Parts that use the language model by default, if one is configured. A reranker uses it only if
``reranker.provider`` is ``model``.
"""


@frozen(kw_only=True)
class Choice:
    """One configured adapter: its name, its settings, and how to build it."""

    chosen: str
    settings: Any
    adapter: Adapter


@frozen(kw_only=True)
class RerankingSettings:
    """Settings of the section ``reranker`` that are common to all rerankers.

    Args:
        candidates: facts to rerank per query, at least as many as are returned.
        deadline: seconds per query; after that the order stays unchanged.

    Raises:
        ValueError: a number out of range.
    """

    candidates: int = field(default=30, validator=ge(1))
    deadline: float = field(default=5.0, validator=gt(0))


@frozen(kw_only=True)
class Settings:
    """The configured adapters of all ports, and common settings.

    Args:
        projections: settings of external projections.
        limits: the longest messages, metadata and requests.
        recall: the weights of the signals of a search.
        patience: seconds of retries after lost races between writers before ``Conflict`` is
            raised.
        concurrency: ledgers that ``add_many``, ``retry`` and background jobs process at a time.
            Set it higher than the model's own concurrency: some jobs wait for the store.
        grace: seconds that closing waits for background jobs.
        retry_on_add: an ``add`` with extraction first finishes earlier pending messages of its
            ledger.
        actor_names: actors may be names and addresses. Events keep their actor for ever, erased
            ones too, so by default it must be an opaque id, without ``@`` and spaces.
        clock_lead: how far the last event of a ledger may be ahead of this machine's clock; writes
            are refused beyond it.
    """

    audit_log: Choice
    key_vault: Choice
    vector_index: Choice
    knowledge_graph: Choice
    embedder: Choice
    language_model: Choice
    extractor: Choice
    reconciler: Choice
    reranker: Choice
    reranking: RerankingSettings = RerankingSettings()
    projections: ProjectionSettings = ProjectionSettings()
    limits: Limits = Limits()
    recall: Weights = Weights()
    patience: float = 10.0
    concurrency: int = 32
    grace: float = 10.0
    retry_on_add: bool = False
    actor_names: bool = False
    clock_lead: timedelta = CLOCK_LEAD


def load_settings(
    config: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read and check settings.

    Args:
        config: a mapping, or a ``.toml``, ``.yaml`` or ``.yml`` file.
        path: the database file; overrides ``config`` and variables.
        environment: the ``REMEMBRANCER_*`` variables, ``os.environ`` by default. They override
            ``config``.

    Raises:
        InvalidRequest: with the path of the invalid setting and the allowed values.
    """
    return settings_of(read_settings(config, path=path, environment=environment))


def given_settings(path: str | os.PathLike[str] | None, settings: Settings | None) -> Settings:
    """The settings that a memory was given, or those of its path.

    Raises:
        InvalidRequest: both are given, or ``settings`` are not checked settings.
    """
    if settings is None:
        return load_settings(path=path)
    if not isinstance(settings, Settings):
        raise InvalidRequest(
            "settings",
            f"expected Settings, got {type(settings).__name__}; for a mapping or a file, use "
            "Memory.from_config(…)",
        )
    if path is not None:
        raise InvalidRequest("path", "settings are given, too; set audit_log.path in them")
    return settings


def read_settings(
    config: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The merged settings as written; nothing is checked.

    Raises:
        InvalidRequest: the file can't be read.
    """
    raw = _merged(
        _read(config), _from_environment(os.environ if environment is None else environment)
    )
    if path is not None:
        if not isinstance(path, str | os.PathLike):
            raise InvalidRequest("path", f"expected a path, got {type(path).__name__}")
        _refuse_address(os.fsdecode(path), "path", "set audit_log.provider and audit_log.dsn")
        raw = _merged(raw, {"audit_log": {"path": os.fsdecode(path)}})
    return raw


def settings_of(raw: Mapping[str, Any]) -> Settings:
    """Check settings.

    Raises:
        InvalidRequest: with the path of the invalid setting and the allowed values.
    """
    allowed = (*DEFAULTS, "projections", "limits", "recall", *ALONE)
    for key in raw:
        if key not in allowed:
            raise InvalidRequest(str(key), _unknown(str(key), allowed))
    model = _choice("language_model", raw.get("language_model", {}), DEFAULTS["language_model"])
    asking: dict[str, str] = {}
    if model.chosen != "none":
        asking = dict.fromkeys(ASKING, "model")
    reranking, section = _reranking(raw.get("reranker", {}))
    raw = {**raw, "reranker": section}
    others = {
        port: _choice(port, raw.get(port, {}), asking.get(port, default))
        for port, default in DEFAULTS.items()
        if port != "language_model"
    }
    for port in (*ASKING, "reranker"):
        if others[port].adapter.asks_model and model.chosen == "none":
            raise InvalidRequest(
                f"{port}.provider",
                f"{others[port].chosen} needs a language model; set language_model.provider",
            )
    _check_vault(others["key_vault"], others["audit_log"])
    return Settings(
        **others,
        language_model=model,
        reranking=reranking,
        projections=_section("projections", raw.get("projections", {}), ProjectionSettings),
        limits=_section("limits", raw.get("limits", {}), Limits),
        recall=_section("recall", raw.get("recall", {}), Weights),
        patience=_seconds(raw.get("patience", 10.0), "patience"),
        concurrency=_count(raw.get("concurrency", 32), "concurrency"),
        grace=_seconds(raw.get("grace", 10.0), "grace"),
        retry_on_add=_choosing(raw.get("retry_on_add", False), "retry_on_add"),
        actor_names=_choosing(raw.get("actor_names", False), "actor_names"),
        clock_lead=_duration(raw.get("clock_lead", CLOCK_LEAD.total_seconds()), "clock_lead"),
    )


def _check_vault(vault: Choice, log: Choice) -> None:
    volatile = log.chosen == "memory" or getattr(log.settings, "path", None) == ":memory:"
    if vault.chosen == "memory" and not volatile:
        raise InvalidRequest(
            "key_vault.provider",
            f"memory loses its keys when the process ends, but {log.chosen} keeps the events "
            "sealed with them; choose another vault, or a log in memory",
        )


def _section(name: str, section: Any, settings: type[T]) -> T:
    if not isinstance(section, Mapping):
        raise InvalidRequest(name, f"expected a mapping, got {type(section).__name__}")
    found: T = structured(section, settings, name)
    return found


def _choice(port: str, section: Any, default: str) -> Choice:
    shared = [each.name for each in fields(RerankingSettings)] if port == "reranker" else []
    if isinstance(section, str):
        section = {"provider": section}
    if not isinstance(section, Mapping):
        raise InvalidRequest(port, f"expected a mapping, got {type(section).__name__}")
    options = {key: value for key, value in section.items() if key != "provider"}
    provider = section.get("provider", default)
    adapter = adapter_named(port, provider)
    return Choice(
        chosen=provider,
        settings=structured(options, adapter.settings, port, shared),
        adapter=adapter,
    )


def _reranking(section: Any) -> tuple[RerankingSettings, Any]:
    """Split the section into common settings and those of the configured reranker."""
    if not isinstance(section, Mapping):
        return RerankingSettings(), section
    ours = {each.name for each in fields(RerankingSettings)}
    shared = {key: value for key, value in section.items() if key in ours}
    rest = {key: value for key, value in section.items() if key not in ours}
    return structured(shared, RerankingSettings, "reranker"), rest


def structured(
    raw: Mapping[str, Any], settings: type[Any], path: str, others: Sequence[str] = ()
) -> Any:
    """An adapter's settings from a mapping; ``others`` are further allowed keys of its section.

    Raises:
        InvalidRequest: an unknown key or a value of the wrong type, with its path.
    """
    known = [each.name for each in fields(settings)]
    for key in raw:
        if key not in known:
            raise InvalidRequest(f"{path}.{key}", _unknown(str(key), [*known, *others]))
    try:
        # mypy does not know that classes are hashable.
        convert = _converter(settings)  # type: ignore[arg-type]
        return convert.structure(dict(raw), settings)
    except cattrs.ClassValidationError as error:
        problems = cattrs.transform_error(error, path=path, format_exception=_explained)
        problem, where = problems[0].rsplit(" @ ", 1)
        raise InvalidRequest(where, problem) from error


@cache
def _converter(settings: type[Any]) -> cattrs.Converter:
    """A converter that is strict about one class of settings. Making it takes most of the time of
    reading settings, so there is one for the process.
    """
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook_factory(
        lambda kind: kind is settings, lambda kind: make_dict_structure_fn(kind, converter)
    )
    for kind in _HOOKS:
        converter.register_structure_hook(kind, _structure)
    converter.register_structure_hook_func(_is_enum, _one_of)
    converter.register_structure_hook_func(
        lambda kind: kind == tuple[str, ...], lambda value, _: _texts(value)
    )
    return converter


class _Unfit(ValueError):
    """A value of another type than the setting; cattrs alone would convert it."""

    def __init__(self, expected: str, value: object) -> None:
        shown = repr(value[:80]) if isinstance(value, str) else type(value).__name__
        super().__init__(f"expected {expected}, got {shown}")


def _explained(error: BaseException, kind: type | None) -> str:
    # An error raised by a settings class itself has no field, hence no kind.
    if isinstance(error, _Unfit) or (kind is None and isinstance(error, ValueError)):
        return str(error)
    return cattrs.v.format_exception(error, kind)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    raise _Unfit("a string", value)


def _texts(value: object) -> tuple[str, ...]:
    # A variable has a list as "music, work".
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, Sequence):
        raise _Unfit("a list of strings", value)
    return tuple(_text(item).strip() for item in items)


def _flag(value: object) -> bool:
    # Variables are strings; bool("false") is True in Python.
    if isinstance(value, bool):
        return value
    spelled = value.lower() if isinstance(value, str) else None
    if spelled in ("true", "1", "yes", "on"):
        return True
    if spelled in ("false", "0", "no", "off"):
        return False
    raise _Unfit("true or false", value)


def _whole(value: object) -> int:
    if isinstance(value, str | int) and not isinstance(value, bool):
        with suppress(ValueError):
            return int(value)
    raise _Unfit("a whole number", value)


def _real(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
            if math.isfinite(number):
                return number
    raise _Unfit("a number", value)


def _is_enum(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _one_of(value: object, kind: type[Enum]) -> Enum:
    for member in kind:
        if member.value == value:
            return member
    raise _Unfit(f"one of {', '.join(str(member.value) for member in kind)}", value)


_HOOKS: dict[type, Callable[[object], object]] = {
    str: _text,
    bool: _flag,
    int: _whole,
    float: _real,
}


def _structure(value: object, kind: type) -> object:
    # cattrs passes a StrEnum as a str.
    return _one_of(value, kind) if _is_enum(kind) else _HOOKS[kind](value)


def _seconds(value: object, path: str) -> float:
    try:
        number = _real(value)
    except _Unfit as error:
        raise InvalidRequest(path, f"{error}; it is in seconds") from error
    if number < 0:
        raise InvalidRequest(path, f"expected 0 seconds or more, got {number}")
    return number


def _duration(value: object, path: str) -> timedelta:
    seconds = _seconds(value, path)
    try:
        return timedelta(seconds=seconds)
    except OverflowError as error:
        raise InvalidRequest(path, f"{seconds:g} seconds are too many") from error


def _count(value: object, path: str) -> int:
    try:
        number = _whole(value)
    except _Unfit as error:
        raise InvalidRequest(path, str(error)) from error
    if number < 1:
        raise InvalidRequest(path, f"expected 1 or more, got {number}")
    return number


def _choosing(value: object, path: str) -> bool:
    try:
        return _flag(value)
    except _Unfit as error:
        raise InvalidRequest(path, str(error)) from error


def _unknown(key: str, allowed: tuple[str, ...] | list[str]) -> str:
    near = difflib.get_close_matches(key, allowed, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown setting; allowed are {', '.join(allowed) or 'none'}{hint}"


def _read(config: Mapping[str, Any] | str | os.PathLike[str] | None) -> Mapping[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return config
    if not isinstance(config, str | os.PathLike):
        raise InvalidRequest("config", f"expected a mapping or a file, got {type(config).__name__}")
    _refuse_address(os.fsdecode(config), "config", "name a .toml, .yaml or .yml file")
    file = Path(config)
    try:
        text = file.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise InvalidRequest("config", f"{file} can't be read: {error}") from error
    if file.suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidRequest("config", f"{file} is not TOML: {error}") from error
    if file.suffix in (".yaml", ".yml"):
        return _read_yaml(text, file)
    raise InvalidRequest("config", f"{file}: expected a .toml, .yaml or .yml file")


def _refuse_address(value: str, path: str, advice: str) -> None:
    if "://" in value:
        # Do not show the value: it may contain a password.
        raise InvalidRequest(path, f"is an address, not a file; {advice}")


def _read_yaml(text: str, file: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise InvalidRequest(
            "config", "reading YAML needs PyYAML; pip install 'remembrancer[yaml]', or use TOML"
        ) from error
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # The error itself quotes the line, which may contain a password.
        mark = getattr(error, "problem_mark", None)
        raise InvalidRequest(
            "config",
            f"{file} is not YAML"
            + (f": line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "")
            + "; put values with special characters in quotes",
        ) from None
    if raw is not None and not isinstance(raw, Mapping):
        raise InvalidRequest("config", f"{file}: expected a mapping at the top")
    return raw or {}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """``REMEMBRANCER_A__B=x`` as ``{"a": {"b": "x"}}``."""
    found: dict[str, Any] = {}
    for name, value in sorted(environment.items()):
        if not name.startswith(VARIABLE) or not value:
            continue
        key = name.removeprefix(VARIABLE).lower()
        section, _, option = key.partition("__")
        if key == "db":
            section, option = "audit_log", "path"
        if section in PORTS:
            found.setdefault(section, {})[option or "provider"] = value
        elif section == "projections" and option:
            found.setdefault(section, {})[option] = value
        elif option:
            found[section] = {option: value}
        elif section in ALONE:
            found[section] = value
    return found


def _merged(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(weak)
    for key, value in strong.items():
        below = merged.get(key)
        if isinstance(below, str) and isinstance(value, Mapping):
            below = {"provider": below}
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged
