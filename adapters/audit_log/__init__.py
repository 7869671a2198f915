"""The log, a module a technology: ``sqlite`` and ``memory``."""
