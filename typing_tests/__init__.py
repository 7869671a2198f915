"""The types that mypy and pyright infer for users. ``sh dev check`` checks them; nothing is run.

``memory.py`` and ``async_memory.py`` hold the types of all results (``assert_type``).
``mistakes.py`` holds calls that a type checker must refuse.
"""
