"""Adapters by name: the built-in ones, and those that other packages register.

A package registers an adapter with an entry point in the group ``memledger.<port>`` (such as
``memledger.embedder``) whose object is an ``Adapter``. Without an entry point the object can be
named by where it is: ``mypackage.embedding:adapter``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from attrs import frozen

from memledger.domain.errors import InvalidRequest

PORTS = ("audit_log", "embedder", "extractor", "reconciler")


@frozen(kw_only=True)
class NoSettings:
    """For adapters that have nothing to choose."""


@frozen(kw_only=True)
class Adapter:
    """How an adapter is built.

    Args:
        settings: an attrs class; the section of the configuration, without ``provider``, is
            structured into it.
        build: called with an instance of it; returns the adapter. (Built-in stores are built by
            the container, since they share a database.)
    """

    settings: type[Any]
    build: Callable[[Any], Any]


def _lazily(path: str) -> Callable[[Any], Any]:
    """A constructor without arguments whose module is imported when it is called."""
    module, name = path.split(":")
    return lambda _settings: getattr(import_module(module), name)()


def _built_in(port: str, name: str) -> Adapter | None:
    if (port, name) == ("audit_log", "sqlite"):
        from memledger.adapters.sqlite.database import SqliteSettings

        return Adapter(settings=SqliteSettings, build=_by_container)
    if (port, name) == ("embedder", "hashing"):
        from memledger.adapters.embedder.hashing import HashingEmbedder, HashingSettings

        return Adapter(settings=HashingSettings, build=HashingEmbedder.from_settings)
    rules = "memledger.application.rules"
    builders = {
        ("audit_log", "memory"): _by_container,
        ("extractor", "rules"): _lazily(f"{rules}.extractor:RulesExtractor"),
        ("reconciler", "rules"): _lazily(f"{rules}.reconciler:RulesReconciler"),
    }
    build = builders.get((port, name))
    return Adapter(settings=NoSettings, build=build) if build else None


def _by_container(_settings: Any) -> Any:
    raise AssertionError("the container builds the stores that share a database")


BUILT_IN = {
    "audit_log": ("sqlite", "memory"),
    "embedder": ("hashing",),
    "extractor": ("rules",),
    "reconciler": ("rules",),
}


def adapter_named(port: str, name: object) -> Adapter:
    """The adapter that goes by a name.

    Raises:
        InvalidRequest: nobody registered it, or what was registered is no ``Adapter``.
    """
    path = f"{port}.provider"
    if not isinstance(name, str):
        raise InvalidRequest(path, f"expected a name, got {type(name).__name__}")
    found = _built_in(port, name)
    if found is not None:
        return found
    if ":" in name:
        return _checked(_imported(name, path), path, name)
    registered = {point.name: point for point in entry_points(group=f"memledger.{port}")}
    if name not in registered:
        names = (*BUILT_IN[port], *sorted(registered))
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidRequest(path, f"{name!r} is not one of {', '.join(names)}{hint}")
    try:
        adapter = registered[name].load()
    except (ImportError, AttributeError) as error:
        raise InvalidRequest(
            path, f"{registered[name].value} can't be loaded: {error}; reinstall its package"
        ) from error
    return _checked(adapter, path, registered[name].value)


def _imported(name: str, path: str) -> object:
    module, _, attribute = name.partition(":")
    try:
        found: object = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidRequest(path, f"{name} can't be imported: {error}") from error
    return found


def _checked(adapter: object, path: str, name: str) -> Adapter:
    if not isinstance(adapter, Adapter):
        raise InvalidRequest(path, f"{name} is not a memledger Adapter")
    return adapter
