"""The attack suite: every threat of docs/security.md, played against running production-mode processes.

`make attack` (`python -m tests.attack`) plays all of it at full size and prints a table; the `test_*.py` here play
the same attacks small. Loopback only; every load is bounded and ends by itself.
"""
