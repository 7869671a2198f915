"""The ports of the use-cases: Protocols that adapters implement, one port per module.

Methods are ``async`` unless the Protocol says otherwise; an adapter may be written with plain
methods, which the container wraps.
"""
