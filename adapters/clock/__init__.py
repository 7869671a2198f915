"""Time and identities, a module a technology."""
