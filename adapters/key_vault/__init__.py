"""Key vaults, one module per technology: ``sqlite``, and ``memory`` for tests."""
