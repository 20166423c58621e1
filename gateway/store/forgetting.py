"""What is deleted of a person whom an operator is asked to forget: the same statements on both stores.

A destination has one session's row, which each next session takes over: those before it are found in the audit
log, which itself stays as it is, with a keyed hash, until it is purged. So do tokens that were used, by session.
`usage` holds keyed hashes of what is counted: a destination's begin with a letter and the destination.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

Run = Callable[[str, Mapping[str, object]], int]
"""Runs a statement, whose values are named as `:name`; how many rows it deleted."""

_THEIRS = "project_id = :project AND destination = :destination"
_COUNTED = b"Ssaghf"  # what gateway.limits.limiter counts of them, and each store of guesses and known addresses
_LONGEST = 17  # bytes behind a destination: an address's keyed hash has 16

SESSIONS = (
    f"SELECT session_id FROM audit WHERE {_THEIRS} AND session_id <> ''"  # noqa: S608 - our own names
    f" UNION SELECT id FROM session WHERE {_THEIRS} UNION SELECT id FROM manual WHERE {_THEIRS}"
)
_STATEMENTS = {  # by what an operator is told, in an order in which each still finds what it goes by
    "sessions": f"DELETE FROM session WHERE {_THEIRS}",  # noqa: S608
    "callbacks": f"DELETE FROM callback WHERE message_id IN (SELECT message_id FROM manual WHERE {_THEIRS})",  # noqa: S608
    "server's messages": f"DELETE FROM manual WHERE {_THEIRS}",  # noqa: S608
    "expected contacts": "DELETE FROM expected WHERE (bot_id, chat_id) IN"  # noqa: S608
    f" (SELECT bot_id, chat_id FROM activation WHERE {_THEIRS}) AND project_id = :project",
    "activations": f"DELETE FROM activation WHERE {_THEIRS}",  # noqa: S608
    "habits": f"DELETE FROM habit WHERE {_THEIRS}",  # noqa: S608
}
_OF_A_SESSION = {
    "messages": "DELETE FROM message WHERE session_id = :session",
    "expected contacts": "DELETE FROM expected WHERE session_id = :session",
}
_FORGET_COUNTED = "DELETE FROM usage WHERE key >= :first AND key < :last"


def delete(run: Run, theirs: Mapping[str, object], destination: bytes, sessions: Iterable[str]) -> Counter[str]:
    """All that is theirs, `sessions` being those that `SESSIONS` found; how many rows, by kind."""
    gone: Counter[str] = Counter()
    for kind, statement in _STATEMENTS.items():
        gone[kind] += run(statement, theirs)
    for session in sessions:
        for kind, statement in _OF_A_SESSION.items():
            gone[kind] += run(statement, {"session": session})
    for tag in _COUNTED:
        first = bytes([tag]) + destination
        gone["counts"] += run(_FORGET_COUNTED, {"first": first, "last": first + b"\xff" * _LONGEST})
    return gone
