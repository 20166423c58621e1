"""The part of the SQLite store that counts against limits, in the transaction of what is counted.

What is over a limit is rolled back as a whole, so that a refusal uses up nothing of the others' limits. Then, in a
transaction of its own, `strike` begins the block.
"""

import sqlite3
from functools import cache

from gateway.clock import AHEAD
from gateway.store import Guesses, Limit, Refused, Toll
from gateway.store.ceilings import ended_keys

_CALM = 86_400_000  # ms after a block's end until it is forgotten
_GRAIN = 86_400_000  # ms: an address is noted anew at most once a day
_LOOKED_AT = 10  # rows that a purge looks at for each that it may delete
_GUESSES = {False: b"g", True: b"h"}
_KNOWN = b"f"  # (destination, address) from which somebody has logged in: `due` is how long that counts


class Over(Exception):
    """Something is over its limit: roll back, then `strike`."""

    def __init__(self, toll: Toll, now: int) -> None:
        self.toll = toll
        self.now = now


Counted = list[bytes | int]
"""The keys of limits, what counts against each with one more use, and when that is."""


def charge(db: sqlite3.Connection, toll: Toll | None, now: int) -> None:
    """Count one use against each limit. Raises `Over`."""
    count(db, look(db, toll, now))


def look(db: sqlite3.Connection, toll: Toll | None, now: int) -> Counted:
    """What one more use comes to, without counting it. Raises `Over` where that is over a limit.

    Looked up and then written, under the lock: `RETURNING` would cost as much as both, for its table of results.
    """
    counted: Counted = []
    if toll is None or not toll.limits:
        return counted
    keys = [limit.key for limit in toll.limits]
    used = {key: (due, until) for key, due, until in db.execute(_look(len(keys)), (now + AHEAD, *keys))}
    for limit in toll.limits:
        due, until = used.get(limit.key, (0, 0))
        due = max(due, now) + limit.cost
        if until > now or due - now > (limit.window if toll.proved else limit.soft):
            raise Over(toll, now)
        counted += (limit.key, due, now)
    return counted


def has_room(db: sqlite3.Connection, limit: Limit, now: int) -> bool:
    """Whether one more use would fit."""
    due, until, _ = _state(db, limit.key, now)
    return bool(until <= now and max(due, now) + limit.cost - now <= limit.window)


def count(db: sqlite3.Connection, counted: Counted) -> None:
    """Write down what was looked up in this transaction."""
    if counted:
        db.execute(_count(len(counted) // 3), counted)


def strike(db: sqlite3.Connection, toll: Toll, now: int) -> Refused:
    """Block what is over its limit, twice as long as the last time; what is blocked already stays so."""
    worst = Refused("", now, 0)
    for limit in toll.limits:
        due, until, strikes = _state(db, limit.key, now)
        wait = max(due, now) + limit.cost - now - limit.window
        if until <= now and wait <= 0:
            continue
        if limit.whose == "ceiling":  # a new day ends it, no block
            until = now + wait
        elif until <= now:
            strikes = 1 if until + _CALM < now else strikes + 1
            until = now + max(wait, min(toll.first << min(strikes - 1, 20), toll.longest))
            db.execute(_BLOCK, (due, until, strikes, now, limit.key))
        if until > worst.until:
            worst = Refused(limit.whose, until, strikes)
    return worst


def with_guesses(toll: Toll | None, guesses: Guesses | None, destination: bytes, length: int) -> Toll | None:
    """The limits of a wrong code: its destination's besides the caller's."""
    if toll is None or guesses is None:
        return toll
    cost = guesses.cost(length)
    key = guess_key(guesses, destination)
    mine = Limit(key, "guesses", cost, guesses.window, guesses.window)
    return Toll((mine, *toll.limits), toll.first, toll.longest)


def guess_key(guesses: Guesses, destination: bytes) -> bytes:
    """Where the wrong codes of a destination are counted."""
    return _GUESSES[guesses.known] + destination


def guesses_left_at(used: tuple[int, int], guesses: Guesses, length: int) -> int:
    """From when on one more code may be guessed where so much is `used`: its `due` and `until`."""
    due, until = used
    return max(until, due + guesses.cost(length) - guesses.window)


def note_known(db: sqlite3.Connection, guesses: Guesses | None, destination: bytes, now: int) -> None:
    """Somebody proved from this address to be the destination's."""
    if guesses and guesses.address:
        db.execute(_NOTE, (_KNOWN + destination + guesses.address, now + guesses.known_for, _GRAIN))


def is_known(db: sqlite3.Connection, destination: bytes, address: bytes, now: int) -> bool:
    """Whether somebody has logged in to the destination from this address."""
    return _state(db, _KNOWN + destination + address, now)[0] > now


def purge(db: sqlite3.Connection, after: bytes, before: int, most: int) -> tuple[int, bytes]:
    """Forget what has been over since `before`, in the keys behind `after`; how many, and how far it looked.

    An index by time would double what each login writes.
    """
    keys = db.execute("SELECT key FROM usage WHERE key > ? ORDER BY key LIMIT ?", (after, most * _LOOKED_AT))
    last = max((key for (key,) in keys), default=b"")
    days = db.execute("DELETE FROM usage WHERE key >= ? AND key < ?", ended_keys(before)).rowcount
    gone = db.execute(
        "DELETE FROM usage WHERE key IN"
        " (SELECT key FROM usage WHERE key > ? AND key <= ? AND due < ? AND until < ? LIMIT ?)",
        (after, last, before, before, most),
    ).rowcount
    return days + gone, after if gone == most else last


def _state(db: sqlite3.Connection, key: bytes, now: int) -> tuple[int, int, int]:
    """`due`, `until` and `strikes`, as far as they count: what was written later than now is from before the clock
    was put back, and forgotten."""
    state: tuple[int, int, int] | None = db.execute(_STATE, (key, now + AHEAD)).fetchone()
    return state or (0, 0, 0)


_STATE = "SELECT due, until, strikes FROM usage WHERE key = ? AND at <= ?"
_BLOCK = "UPDATE usage SET due = ?, until = ?, strikes = ?, at = ? WHERE key = ?"
_NOTE = """
    INSERT INTO usage (key, due) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET due = excluded.due WHERE due < excluded.due - ?3
"""


@cache
def _count(limits: int) -> str:
    return f"""
        INSERT INTO usage (key, due, at) VALUES {", ".join(["(?, ?, ?)"] * limits)}
        ON CONFLICT (key) DO UPDATE SET due = excluded.due, at = excluded.at,
            until = iif(at <= excluded.at + {AHEAD}, until, 0)
    """  # noqa: S608 - marks and a number of ours


@cache
def _look(limits: int) -> str:
    """`IN` would make a table of the keys."""
    one = "SELECT key, due, until FROM usage WHERE at <= ?1 AND key = ?"  # numbered on from 1 by SQLite
    return " UNION ALL ".join([one] * limits)
