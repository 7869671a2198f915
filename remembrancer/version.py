"""The version of the package, in one place: the build reads it from here, and so do all reports.

It is not read from the metadata of an installed distribution: that would cost time at import, and
an editable install keeps the number that it was installed with.
"""

from __future__ import annotations

__version__ = "0.1.0"
