"""Facts: the model, the fold of events into facts, and decisions about candidates."""
