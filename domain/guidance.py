"""What a caller wants remembered and what not: instructions to extraction, in plain words."""

from __future__ import annotations

from attrs import asdict, frozen


@frozen(kw_only=True)
class Guidance:
    """Instructions come from whoever runs the memory, never from a conversation.

    ``include`` and ``exclude`` name topics, ``categories`` the labels that facts may get.
    """

    instructions: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    def refined(self, call: Guidance | None) -> Guidance:
        """With what a single call says in place of what is said for all."""
        if call is None:
            return self
        return Guidance(
            instructions=call.instructions or self.instructions,
            include=call.include or self.include,
            exclude=call.exclude or self.exclude,
            categories=call.categories or self.categories,
        )

    @property
    def named(self) -> tuple[str, ...]:
        """The names of what is said."""
        return tuple(name for name, value in asdict(self).items() if value)
