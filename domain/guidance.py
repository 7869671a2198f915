"""Instructions to extraction: which topics to remember, which to leave out."""

from __future__ import annotations

from attrs import asdict, frozen


@frozen(kw_only=True)
class Guidance:
    """Instructions of the application, never taken from a conversation.

    ``include`` and ``exclude`` name topics, ``categories`` the labels that facts may get.
    """

    instructions: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    def refined(self, call: Guidance | None) -> Guidance:
        """This guidance, with the fields that ``call`` sets replaced by its own."""
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
        """The names of the fields that are set."""
        return tuple(name for name, value in asdict(self).items() if value)
