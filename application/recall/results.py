"""Results that are iterated, counted and indexed: the base of ``SearchResult`` and ``Page``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class Results(ABC, Generic[T]):
    """Items in their order. Empty results are false."""

    __slots__ = ()

    @property
    @abstractmethod
    def _items(self) -> tuple[T, ...]: ...

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[T, ...]: ...

    def __getitem__(self, place: int | slice) -> T | tuple[T, ...]:
        if isinstance(place, str):
            raise TypeError(
                f"a {type(self).__name__} has no key {place!r}: iterate it itself, or index it by "
                "number; its items have attributes, such as text and metadata. to_dict() returns "
                "dictionaries"
            )
        return self._items[place]
