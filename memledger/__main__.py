"""The command line with the real memory in it: ``memledger`` and ``python -m memledger``."""

from __future__ import annotations

import sys

from memledger.adapters.cli.main import run
from memledger.adapters.cli.needs import LedgerMemory


def open_memory(path: str) -> LedgerMemory:
    """Open the database at ``path``, and make it if it is not there."""
    # Imported late: `memledger --help` must not wait for the whole memory.
    from memledger.adapters.cli.rebuilding import rebuild_progress
    from memledger.memory import Memory

    return Memory(path, on_rebuild=rebuild_progress())


def main() -> None:
    """Run the command that the arguments ask for, and exit."""
    sys.exit(run(open_memory, sys.argv[1:]))


if __name__ == "__main__":
    main()
