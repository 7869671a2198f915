"""The knowledge graph as pure values: links, their history, walks, and what they lead to."""
