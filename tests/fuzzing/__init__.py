"""Fuzzing: what must hold for whatever anybody sends. `make fuzz` for long, `tests/test_fuzzing.py` for a moment.

`parsers` are functions of bytes, which atheris steers by coverage and hypothesis draws at random; `verbs` is a
machine of everything that people do, beside a model; `updates` are Bot API updates of every kind; `requests` are
requests as no client writes them.
"""
