"""The book on external projections, a module a technology: ``sqlite`` and ``memory``."""
