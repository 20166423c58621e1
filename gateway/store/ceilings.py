"""The key under which a day's messages of one project and channel are counted: a row of `usage` a day.

Each message costs a whole day, and as many days as the ceiling has messages may be waiting: so within that day
nothing is forgotten, and the same statement that counts all other limits counts this one exactly.
"""

DAY = 86_400_000  # ms
_TAG = b"pc"  # beside the project's other limits, so that counting it writes no further page


def ceiling_key(project_id: int, channel: str, now: int) -> bytes:
    """Days are UTC's."""
    return _first_key(now) + f"{project_id}:{channel}".encode()


def ended_keys(before: int) -> tuple[bytes, bytes]:
    """From which key to below which one the days lie that were over by `before`."""
    return _TAG, _first_key(before)


def _first_key(now: int) -> bytes:
    return _TAG + (now // DAY).to_bytes(4, "big")
