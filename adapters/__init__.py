"""Everything that touches the world: driven adapters (a module a technology) and driving ones."""
