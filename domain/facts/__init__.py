"""Facts: what one is, how events change it, and what is decided about candidates."""
