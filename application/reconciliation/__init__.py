"""From candidates to proposals: by rules, or by a language model."""
