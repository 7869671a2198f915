"""The knowledge graph as pure values and functions: links, history, walks and relevance."""
