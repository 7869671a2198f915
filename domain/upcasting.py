"""Old shapes of events, brought up to date while they are read; what is stored never changes.

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


def _observed_with_images_and_guidance(raw: Raw) -> Raw:
    message = {**raw["message"], "images": []}
    return {**raw, "message": message, "guidance": None, "kind": None}


def _recorded_with_its_cost(raw: Raw) -> Raw:
    """The cost used to be one of the parameters."""
    parameters = dict(raw.get("parameters", {}))
    return {**raw, "cost": parameters.pop("cost", None), "parameters": parameters}


UPCASTERS: Mapping[tuple[str, int], Upcaster] = {
    ("message.observed", 1): _observed_with_images_and_guidance,
    ("inference.recorded", 1): _recorded_with_its_cost,
}
"""From (type name, schema version) to the function that yields the next version."""


@frozen
class EventRegistry:
    """Stored type names to event classes, with the chains of upcasters between versions.

    Raises:
        IntegrityError: two classes share a name, or a chain of upcasters has a gap.
    """

    types: Mapping[str, type[Event]]
    upcasters: Mapping[tuple[str, int], Upcaster]

    @classmethod
    def of(
        cls,
        types: Iterable[type[Event]] = EVENT_TYPES,
        upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
    ) -> EventRegistry:
        """Build a registry and check it."""
        by_name: dict[str, type[Event]] = {}
        for event_type in types:
            if event_type.type_name in by_name:
                raise IntegrityError(f"two event classes are named {event_type.type_name!r}")
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
            IntegrityError: the name or the version is not known to this release.
        """
        event_type = self.types.get(type_name)
        if event_type is None:
            raise IntegrityError(
                f"position {position}: unknown event type {type_name!r}; "
                "upgrade remembrancer to a release that knows it"
            )
        if schema_version > event_type.schema_version:
            raise IntegrityError(
                f"position {position}: {type_name} has schema version {schema_version}, this "
                f"release reads up to {event_type.schema_version}; upgrade remembrancer"
            )
        return event_type

    def upcast(self, raw: Raw, event_type: type[Event], schema_version: int) -> Raw:
        """Bring the raw object from ``schema_version`` up to the current shape."""
        for version in range(schema_version, event_type.schema_version):
            raw = self.upcasters[event_type.type_name, version](raw)
        return raw
