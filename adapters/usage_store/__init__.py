"""The usage read model, a module a technology: ``sqlite`` and ``memory``."""
