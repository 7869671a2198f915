"""Facts that matter for a question, as text for a prompt."""
