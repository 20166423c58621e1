"""What a database is filled with: of each person, all that a login of the past has left.

The statements are the same on every store. `past` holds a row a person: number, destination, session id, time.
"""

from collections.abc import Callable, Iterator, Mapping

from gateway.clock import system_clock
from gateway.ids import new_ulid

HOURS = 20  # over which the logins are spread: none is old enough to be purged
AUDIT_ROWS = 1_000_000  # of them, as AUDIT_ROWS says
_SECRET_BYTES = 44  # a sealed phone: the key's id, nonce, 12 characters, tag

Destination = Callable[[int], bytes]
"""What stands for a known person in the database, by their number."""

PAST = "CREATE TEMPORARY TABLE past (number bigint, destination {bytes}, id text, at bigint)"
SESSION = (
    "project_id, destination, id, sealed, code_mac, code_length, kind, lang, browser, state, attempts_left,"
    " strikes, paused_until, created_at, expires_at, browser_mac, place, joined, prefix"
)
FILLING = (
    f"INSERT INTO session ({SESSION}) SELECT 1, destination, id, :sealed, :mac, 6, 'phone', 'en',"  # noqa: S608
    " 'Chrome, Android', 'used', 5, 0, 0, at, at + 180000, :none, '', :no, '+7951' FROM past"
    " ORDER BY destination",
    "INSERT INTO message (session_id, channel, state, began_parked, attempts, created_at, due_at, finished_at)"
    " SELECT id, 'sms', 'sent', :no, 1, at, at, at + 100 FROM past ORDER BY number",
    "INSERT INTO activation (project_id, destination, bot_id, chat_id, user_id, active, changed_at)"
    " SELECT 1, destination, 1, number + 1, number + 1, :yes, at FROM past ORDER BY destination",
    "INSERT INTO habit (project_id, destination, channel, uses, last_used_at)"
    " SELECT 1, destination, 'sms', 1, at FROM past ORDER BY destination",
    "INSERT INTO usage (key, due) SELECT CAST(:known || destination || :mac AS {bytes}), at + 2592000000 FROM past"
    " ORDER BY destination",
    "INSERT INTO usage (key, due) SELECT CAST(:sends || destination AS {bytes}), at + 900000 FROM past"
    " ORDER BY destination",
    "INSERT INTO spent (session_id) SELECT id FROM past ORDER BY id",
    "INSERT INTO event (session_id, at) SELECT id, at FROM past ORDER BY number",
    "INSERT INTO audit (at, lasting, actor, action, project_id, session_id, reason, detail, times)"
    " SELECT at, :no, 'public key', 'session.check', 1, id, '', 'sms', 1 FROM past WHERE number >= :unaudited"
    " ORDER BY number",
)


def filling_values(people: int) -> Mapping[str, object]:
    """What the statements are given."""
    return {
        "sealed": bytes(range(_SECRET_BYTES)),
        "mac": bytes(range(16)),
        "none": b"",
        "no": False,
        "yes": True,
        "known": b"f",
        "sends": b"s",
        "unaudited": max(0, people - AUDIT_ROWS),
    }


def past(people: int, destination: Destination) -> Iterator[tuple[int, bytes, str, int]]:
    """The rows of `past`, the oldest first."""
    span = HOURS * 3_600_000
    began = system_clock() - span
    for number in range(people):
        at = began + number * span // people
        yield number, destination(number), new_ulid(at), at
