"""The rules of the consortium, in pure Python: no I/O, no clock, no randomness of their own."""

__version__ = "0.1.0"
