"""Upcasters: convert events of older schema versions on read; stored events never change.

An upcaster turns the raw JSON object of one schema version into that of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from remembrancer.domain.errors import IntegrityError
from remembrancer.domain.events import EVENT_TYPES, Event

Raw: TypeAlias = dict[str, Any]
Upcaster: TypeAlias = Callable[[Raw], Raw]


UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""Maps (type name, schema version) to the function that returns the next version."""


@frozen
class EventRegistry:
    """Event classes by stored type name, with the upcasters between their schema versions."""

    types: Mapping[str, type[Event]]
    upcasters: Mapping[tuple[str, int], Upcaster]

    @classmethod
    def of(
        cls,
        types: Iterable[type[Event]] = EVENT_TYPES,
        upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
    ) -> EventRegistry:
        """Build a registry and check it.

        Raises:
            IntegrityError: two classes have the same type name, or a version has no upcaster.
        """
        by_name: dict[str, type[Event]] = {}
        for event_type in types:
            if event_type.type_name in by_name:
                raise IntegrityError(
                    f"two event classes have the type name {event_type.type_name!r}; rename one"
                )
            by_name[event_type.type_name] = event_type
            for version in range(1, event_type.schema_version):
                if (event_type.type_name, version) not in upcasters:
                    raise IntegrityError(
                        f"{event_type.type_name}: no upcaster from schema version {version} to "
                        f"{version + 1}; write one before releasing version "
                        f"{event_type.schema_version}"
                    )
        return cls(by_name, upcasters)

    def type_of(self, type_name: str, schema_version: int, position: int) -> type[Event]:
        """The class of a stored event.

        Raises:
            IntegrityError: this release does not know the type name or the version.
        """
        event_type = self.types.get(type_name)
        if event_type is None:
            raise IntegrityError(
                f"position {position}: unknown event type {type_name!r}; upgrade remembrancer"
            )
        if schema_version > event_type.schema_version:
            raise IntegrityError(
                f"position {position}: {type_name} has schema version {schema_version}, this "
                f"release reads up to {event_type.schema_version}; upgrade remembrancer"
            )
        return event_type

    def upcast(self, raw: Raw, event_type: type[Event], schema_version: int) -> Raw:
        """Convert a raw object of ``schema_version`` to the current version."""
        for version in range(schema_version, event_type.schema_version):
            raw = self.upcasters[event_type.type_name, version](raw)
        return raw
