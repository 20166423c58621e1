"""One tap: three numbers in the Telegram message, of which the page shows one.

They are derived as codes are, from the key that sealed the session, and never stored: no database gives them away,
and a rotation of `SECRET_KEYS` changes nothing for sessions under way.

Whoever picks blindly is right once in three times. That is bearable for three reasons: a wrong pick closes the
session and makes the destination rest, longer each time, as wrong codes do; only the owner of the linked chat can
pick at all; and the numbers mean nothing once anybody but the browser that created the session was handed it, too.
"""

import re
from typing import NamedTuple

from gateway.keyed import keyed_hash
from gateway.keyring import Keyring

LOWEST, COUNT = 10, 90  # two digits, none of them a leading zero
SHOWN = 3
_PRESS = re.compile(r"(tap|deny):([0-9A-HJKMNP-TV-Z]{26})(?::([1-9][0-9]))?", re.ASCII)


class Numbers(NamedTuple):
    """What the message shows, in its order, and which of them the page shows."""

    shown: tuple[int, ...]
    right: int


def derive_numbers(key: bytes, session_id: str) -> Numbers:
    """Three different numbers from 10 to 99, each as likely as any other: 128 bits are drawn from."""
    drawn = int.from_bytes(keyed_hash(key, session_id.encode())[:16])
    left = list(range(LOWEST, LOWEST + COUNT))
    shown = []
    for _ in range(SHOWN):
        drawn, index = divmod(drawn, len(left))
        shown.append(left.pop(index))
    return Numbers(tuple(shown), shown[drawn % SHOWN])


def numbers_of(keyring: Keyring, sealed: bytes, session_id: str) -> Numbers:
    """Those of a session. Raises `Unsealable` where SECRET_KEYS has lost the key that sealed it."""
    return derive_numbers(keyring.sealed_with(sealed).tap, session_id)


class Press(NamedTuple):
    """A button that was pressed: a number's, or, without one, `It wasn't me`."""

    session_id: str
    number: int | None


def tap_data(session_id: str, number: int) -> str:
    """What a number's button carries: 33 bytes of the 64 that the Bot API allows."""
    return f"tap:{session_id}:{number}"


def deny_data(session_id: str) -> str:
    """What the button `It wasn't me` carries."""
    return f"deny:{session_id}"


def read_press(data: str | None) -> Press | None:
    """What a button carried; None for what no button of ours does."""
    match = _PRESS.fullmatch(data or "")
    if match is None or (match[1] == "tap") != bool(match[3]):
        return None
    return Press(match[2], int(match[3]) if match[3] else None)
