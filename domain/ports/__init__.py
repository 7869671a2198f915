"""The ports of the use-cases: Protocols that adapters implement, one port per module.

Methods are ``async`` unless the Protocol says otherwise; an adapter may be written with plain
methods, which the container wraps.

Some Protocols are optional (``CatchesUp``, ``HasState``, ``Compactable``, ``DeclaresSignals``,
``Fingerprinted``, ``NeverSuspends``). A function beside each of them says whether an adapter has
it. ``isinstance`` does not: from Python 3.12 on it ignores what ``__getattr__`` returns, so it
would miss the optional members of every adapter behind a proxy.
"""
