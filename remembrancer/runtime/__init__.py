"""Run the async use-cases: inline, in threads, or in the background."""
