"""The ids of sessions, of a server's own messages and of challenges: ULIDs, which sort by time."""

import os

from ulid import ULID


def new_ulid(now: int) -> str:
    """80 random bits each: the library's own generator counts up within a millisecond, which can be guessed."""
    return str(ULID.from_bytes(now.to_bytes(6) + os.urandom(10)))
