"""How the async use-cases are driven: inline, in threads, in the background."""
