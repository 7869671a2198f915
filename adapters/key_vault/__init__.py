"""Keys of ledgers, a module a technology: ``sqlite``, and ``memory`` for tests."""
