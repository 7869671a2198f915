"""The rules of a memory that is a ledger: pure values and functions.

No I/O, no clock, no randomness; attrs and the standard library only.
"""
