"""The part of the SQLite store that tells which sessions changed, in the transaction that changes them."""

import sqlite3
from collections.abc import Sequence
from functools import cache


def announce(db: sqlite3.Connection, session_id: str, now: int) -> None:
    """A session changed."""
    db.execute("INSERT INTO event (session_id, at) VALUES (?, ?)", (session_id, now))


def announce_destination(db: sqlite3.Connection, project_id: int, destination: bytes, now: int) -> None:
    """What is known of a destination changed; its live session, if it has one, is told."""
    db.execute(
        "INSERT INTO event (session_id, at) SELECT id, ?1 FROM session"
        " WHERE project_id = ?2 AND destination = ?3 AND state = 'live' AND expires_at > ?1",
        (now, project_id, destination),
    )


def since(db: sqlite3.Connection, number: int, most: int, missing: Sequence[int]) -> list[tuple[int, str]]:
    """See `Store.events_since`."""
    return db.execute(_since(len(missing)), (*missing, number, most)).fetchall()


@cache
def _since(missing: int) -> str:
    """One search for each: asked as "either, or", SQLite reads the table from its beginning."""
    later = "SELECT number, session_id FROM event WHERE number > ?"
    if missing:
        marks = ", ".join("?" * missing)
        named = f"SELECT number, session_id FROM event WHERE number IN ({marks})"  # noqa: S608 - marks
        later = f"{named} UNION ALL {later}"
    return f"{later} ORDER BY number LIMIT ?"
