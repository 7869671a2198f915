"""What can be chosen of the index."""

from attrs import field, frozen
from attrs.validators import ge


@frozen(kw_only=True)
class TinyIndexSettings:
    """Where it is.

    Args:
        path: the file; made by the first call that needs it.
        busy_timeout: seconds to wait for another process that is writing.

    Raises:
        ValueError: a number out of range.
    """

    path: str = "tinyindex.db"
    busy_timeout: float = field(default=10.0, validator=ge(0))
