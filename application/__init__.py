"""The use-cases: one a module, a class with its ports in the constructor."""
