"""A store in memory, for tests. It implements all store ports; nothing is durable."""
