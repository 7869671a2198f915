"""What the use-cases need from the world, one Protocol a module.

Every method is ``async``; an adapter may be written with plain methods, the container lifts it.
"""
