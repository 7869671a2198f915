"""From messages to candidates: by rules, or by a language model."""
