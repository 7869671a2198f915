"""The domain: pure values and functions of a memory that is an append-only ledger.

No I/O, no clock, no randomness; attrs and the standard library only.
"""
