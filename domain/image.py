"""An image of a message: its reference, and its bytes if available."""

from __future__ import annotations

from attrs import field, frozen


@frozen(kw_only=True)
class Image:
    """An image, as bytes or as an address that is never fetched.

    Args:
        reference: the address, or ``sha256:`` and the hex digest of the bytes.
        media_type: such as ``image/png``; ``None`` for an address.
        size: in bytes; ``None`` for an address.
        data: the bytes in base64, if available. The ledger keeps small images only.
        description: a model's description of the image. It is set during extraction and stored
            with that inference, not with the message.
    """

    reference: str
    media_type: str | None = None
    size: int | None = None
    data: str | None = field(default=None, repr=False)
    description: str | None = None

    @property
    def url(self) -> str | None:
        """The address, or the bytes as a ``data:`` URL; ``None`` if they are not available."""
        if self.media_type is None:
            return self.reference
        return None if self.data is None else f"data:{self.media_type};base64,{self.data}"

    @property
    def label(self) -> str:
        """The name of the image in a receipt."""
        if self.media_type is None:
            return self.reference
        return f"{self.media_type}, {self.size or 0:,} bytes, {self.reference[:19]}"
