"""An image that came with a message: what it goes by, and its bytes only where they are at hand."""

from __future__ import annotations

from attrs import field, frozen


@frozen(kw_only=True)
class Image:
    """An image, as bytes or as an address; it is never fetched from there.

    Args:
        reference: the address, or ``sha256:`` and the digest (hex) of the bytes.
        media_type: such as ``image/png``; ``None`` for an address.
        size: in bytes; ``None`` for an address.
        data: the bytes in base64, where they are at hand. The ledger keeps small ones alone.
        description: what a model has seen in it. It is filled in while facts are drawn, and kept
            in the record of that inference, not with the message.
    """

    reference: str
    media_type: str | None = None
    size: int | None = None
    data: str | None = field(default=None, repr=False)
    description: str | None = None

    @property
    def url(self) -> str | None:
        """What a model can be shown: the address or the bytes; ``None`` where those are gone."""
        if self.media_type is None:
            return self.reference
        return None if self.data is None else f"data:{self.media_type};base64,{self.data}"

    @property
    def label(self) -> str:
        """What it is called in a receipt."""
        if self.media_type is None:
            return self.reference
        return f"{self.media_type}, {self.size or 0:,} bytes, {self.reference[:19]}"
