"""Check the names of keyword arguments; an error for an unknown one names the right word.

People bring the words of other memory libraries with them, mem0's above all. ``OUR_WORDS`` and
``NOT_NEEDED`` translate them.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Coroutine, Iterable
from functools import cache, wraps
from typing import Any, Final, TypeVar, get_args, get_type_hints

from remembrancer.domain.errors import InvalidRequest

C = TypeVar("C", bound=type)

MAX_NAME_CHARACTERS: Final = 80

OUR_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "agent": ("agent_id",),
    "app": ("app_id",),
    "async_mode": ("wait=False",),
    "content": ("messages", "text"),
    "custom_categories": ("categories",),
    "custom_instructions": ("instructions",),
    "data": ("messages", "text"),
    "excludes": ("exclude",),
    "expiration_date": ("expires_at",),
    "id": ("fact_id",),
    "includes": ("include",),
    "k": ("limit",),
    "memory": ("messages", "text"),
    "memory_id": ("fact_id",),
    "memory_type": ('kind="procedural"',),
    "message": ("messages",),
    "min_score": ("threshold",),
    "n_results": ("limit",),
    "page": ("cursor",),
    "page_size": ("limit",),
    "prompt": ("instructions",),
    "question": ("query",),
    "reranking": ("rerank",),
    "run": ("run_id",),
    "score_threshold": ("threshold",),
    "session_id": ("run_id",),
    "text": ("messages", "query"),
    "thread_id": ("run_id",),
    "timestamp": ("occurred_at",),
    "top_k": ("limit",),
    "user": ("user_id",),
    "where": ("filters",),
}
"""By the word of another library: ours, the first one that a method takes. Some have a value."""

NOT_NEEDED: Final[dict[str, str]] = {
    "api_version": "every method has one version",
    "enable_graph": "the knowledge graph is always kept",
    "keyword_search": "every search uses keywords and vectors",
    "output_format": "results have one format, and their to_dict() returns it as JSON values",
    "version": "every method has one version",
}
"""Words of other libraries for which there is nothing to choose here, with the reason."""


def check_keywords(cls: C) -> C:
    """Class decorator: check the keyword arguments of every public ``async def`` of the class.

    Without it, Python would report a missing ``fact_id`` to a caller who passes ``memory_id``, and
    a method that takes scope ids would know only those.
    """
    for name, member in list(vars(cls).items()):
        if not name.startswith("_") and inspect.iscoroutinefunction(member):
            setattr(cls, name, _checked(member))
    return cls


def check_names(names: Iterable[object], allowed: Collection[str], problem: str) -> None:
    """Refuse unknown names.

    Args:
        names: the names that the caller used.
        allowed: the names that exist.
        problem: what is wrong with an unknown one, such as ``is not an argument of search``.

    Raises:
        InvalidRequest: names the first unknown one, and what to use in its place.
    """
    for name in names:
        if name not in allowed:
            shown = str(name)[:MAX_NAME_CHARACTERS]
            raise InvalidRequest(shown, f"{problem}; {_advice(shown, allowed)}")


def _checked(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    problem = f"is not an argument of {method.__name__}"

    @wraps(method)
    async def call(*arguments: Any, **keywords: Any) -> Any:
        check_names(keywords, _names_taken(method), problem)
        return await method(*arguments, **keywords)

    return call


@cache
def _names_taken(method: Callable[..., Any]) -> tuple[str, ...]:
    """The keyword arguments of a method, those of ``**ids: Unpack[ScopeIds]`` included."""
    _, *parameters = inspect.signature(method).parameters.values()
    names: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            (unpacked,) = get_args(get_type_hints(method)[parameter.name])
            names += unpacked.__annotations__
        else:
            names.append(parameter.name)
    return tuple(names)


def _advice(name: str, allowed: Collection[str]) -> str:
    for word in OUR_WORDS.get(name, ()):
        if word.partition("=")[0] in allowed:
            return f"use {word}"
    if name in NOT_NEEDED:
        return f"leave it out: {NOT_NEEDED[name]}"
    if not allowed:
        return "the method takes none"
    near = difflib.get_close_matches(name, allowed, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"allowed are {', '.join(allowed)}{guess}"
