"""What is deleted of a person whom an operator is asked to forget: the same statements on both stores.

`usage` holds keyed hashes of what is counted: a destination's begin with a letter and the destination. The audit
log stays as it is, with a keyed hash, until it is purged; so do tokens that were used, by their session.
"""

from collections.abc import Iterator

_THEIRS = "project_id = :project AND destination = :destination"
_SESSIONS = f"SELECT id FROM session WHERE {_THEIRS}"  # noqa: S608 - our own names
_MANUAL = f"SELECT id FROM manual WHERE {_THEIRS}"  # noqa: S608
_COUNTED = (
    b"Ssaghf"  # gateway.limits.limiter, and what each store counts of guesses and of addresses that are known
)
_LONGEST = 17  # bytes behind a destination: an address's keyed hash has 16

STATEMENTS = {  # by what an operator is told, in an order in which each still finds what it goes by
    "callbacks": f"DELETE FROM callback WHERE message_id IN (SELECT message_id FROM manual WHERE {_THEIRS})",  # noqa: S608
    "messages": f"DELETE FROM message WHERE session_id IN ({_SESSIONS} UNION ALL {_MANUAL})",  # noqa: S608
    "expected contacts": f"DELETE FROM expected WHERE session_id IN ({_SESSIONS})",  # noqa: S608
    "sessions": f"DELETE FROM session WHERE {_THEIRS}",  # noqa: S608
    "server's messages": f"DELETE FROM manual WHERE {_THEIRS}",  # noqa: S608
    "activations": f"DELETE FROM activation WHERE {_THEIRS}",  # noqa: S608
    "habits": f"DELETE FROM habit WHERE {_THEIRS}",  # noqa: S608
}
COUNTED = "DELETE FROM usage WHERE key >= :first AND key < :last"


def counted_of(destination: bytes) -> Iterator[dict[str, bytes]]:
    """The ranges of keys that are a destination's."""
    for tag in _COUNTED:
        first = bytes([tag]) + destination
        yield {"first": first, "last": first + b"\xff" * _LONGEST}
