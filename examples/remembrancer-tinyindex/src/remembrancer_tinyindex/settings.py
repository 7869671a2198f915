"""Settings of the index."""

from attrs import field, frozen
from attrs.validators import ge


@frozen(kw_only=True)
class TinyIndexSettings:
    """The path of the index, and its timeout.

    Args:
        path: the file; the first call that needs it creates it.
        busy_timeout: seconds to wait for another process that is writing; 0 or more.

    Raises:
        ValueError: a number out of range.
    """

    path: str = "tinyindex.db"
    busy_timeout: float = field(default=10.0, validator=ge(0))
