"""Knowledge graph on Neo4j, through the official driver."""
