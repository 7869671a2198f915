"""Whether a memory may use the read models that it found when it was opened."""

from __future__ import annotations

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.read_models import Refusal


class Readiness:
    """What differs between the read models in the store and this memory, as found on opening.

    ``refusal`` is ``None`` if nothing does. A rebuild by this memory resets it; after one by
    another process, the memory has to be opened again.
    """

    def __init__(self) -> None:
        self.refusal: Refusal | None = None

    def require(self) -> None:
        """Refuse a write: decisions would be made on wrong facts, and rows would be mixed.

        Raises:
            InvalidRequest: another embedder or release made the read models.
            IntegrityError: they are damaged.
        """
        if self.refusal is not None:
            raise self.refusal

    def require_same_settings(self) -> None:
        """Refuse a search: its vectors and terms would mean something else than the stored ones.

        Raises:
            InvalidRequest: another embedder or release made the read models.
        """
        if isinstance(self.refusal, InvalidRequest):
            raise self.refusal

    @property
    def damaged(self) -> bool:
        """Whether rows are missing: searches may miss facts."""
        return self.refusal is not None and not isinstance(self.refusal, InvalidRequest)
