"""The knowledge graph on Neo4j, over the official driver: what it keeps there, and how it asks."""
