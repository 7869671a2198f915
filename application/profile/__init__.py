"""What is known of a person, derived from the facts."""
