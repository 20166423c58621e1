"""The ids of sessions, of a server's own messages and of challenges: ULIDs, which sort by time."""

import os
import re

_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_TIME = 10  # characters of it: 48 bits, and two that are nothing
_RANDOM = 10  # bytes, behind 6 of time
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_SHIFTS = range(120, -1, -10)  # of 130 bits, two of them nothing: thirteen pairs of characters


def new_ulid(now: int) -> str:
    """80 random bits each: the library's own generator counts up within a millisecond, which can be guessed."""
    return _write(now, os.urandom(_RANDOM))


def lowest_ulid(ms: int) -> str:
    """The smallest of a millisecond: those from before sort below it."""
    return _write(ms, bytes(_RANDOM))


def made_at(ulid: str) -> int:
    """The millisecond that it tells."""
    ms = 0
    for letter in ulid[:_TIME]:
        ms = ms << 5 | _CROCKFORD.index(letter)
    return ms


def is_ulid(text: str) -> bool:
    """Whether it is written as ours are."""
    return bool(_ULID.fullmatch(text))


def _write(ms: int, random: bytes) -> str:
    """Crockford's base 32, two characters at a time: a third of the time that python-ulid takes."""
    number = int.from_bytes(ms.to_bytes(6) + random)
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
