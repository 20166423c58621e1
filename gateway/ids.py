"""The ids of sessions, of a server's own messages and of challenges: ULIDs, which sort by time."""

import os
import re

from ulid import ULID

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


def new_ulid(now: int) -> str:
    """80 random bits each: the library's own generator counts up within a millisecond, which can be guessed."""
    return str(ULID.from_bytes(now.to_bytes(6) + os.urandom(10)))


def is_ulid(text: str) -> bool:
    """Whether it is written as ours are."""
    return bool(_ULID.fullmatch(text))


def ulid_floor(ms: int) -> str:
    """The smallest ULID of a millisecond."""
    text = ""
    for _ in range(10):
        ms, index = divmod(ms, 32)
        text = _DIGITS[index] + text
    return text + "0" * 16
