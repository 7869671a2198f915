"""Adapters of the port ``KnowledgeGraph``."""
