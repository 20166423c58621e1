"""The part of the SQLite store that reads and begins sessions, and knows their destinations' habits."""

import sqlite3
from typing import Any, NamedTuple

from gateway.channels import Channel
from gateway.clock import AHEAD
from gateway.store import NewSession, Send, SessionRow


class Old(NamedTuple):
    """The last session of a destination; of none before, nothing."""

    state: str | None
    expires_at: int
    created_at: int
    paused_until: int
    id: str
    browser_mac: bytes
    joined: int

    def lives(self, now: int, void_before: int) -> bool:
        if self.state != "live" or self.expires_at <= now:
            return False
        return void_before <= self.created_at <= now + AHEAD


class Habits(NamedTuple):
    """What a destination is known for."""

    chat_id: int | None
    active: bool
    last_channel: Channel | None


def find(db: sqlite3.Connection, session_id: str) -> SessionRow | None:
    """A session with its messages, whatever its state."""
    row = db.execute(_SESSION_BY_ID, (session_id,)).fetchone()
    return _row_to_session(row, _sends(db, session_id)) if row else None


def read(db: sqlite3.Connection, session_id: str) -> SessionRow:
    """One that was read in this transaction."""
    session = find(db, session_id)
    assert session is not None  # noqa: S101
    return session


def insert(db: sqlite3.Connection, new: NewSession) -> None:
    """Begin a session, in the place of its destination's last."""
    db.execute(
        "INSERT INTO session (project_id, destination, id, sealed, code_mac, code_length, kind, lang, browser,"
        " state, attempts_left, strikes, paused_until, created_at, expires_at, browser_mac, place, prefix)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'live', ?, 0, 0, ?, ?, ?, ?, ?)"
        " ON CONFLICT (project_id, destination) DO UPDATE SET id = excluded.id, sealed = excluded.sealed,"
        " code_mac = excluded.code_mac, code_length = excluded.code_length, own_code = NULL,"
        " lang = excluded.lang, browser = excluded.browser, state = 'live',"
        " attempts_left = excluded.attempts_left, created_at = excluded.created_at,"
        " expires_at = excluded.expires_at, browser_mac = excluded.browser_mac, place = excluded.place,"
        " joined = 0, prefix = excluded.prefix,"
        " paused_until = iif(session.created_at > ?, 0, session.paused_until)",
        (
            new.project_id,
            new.destination,
            new.id,
            new.sealed,
            new.code_mac,
            new.code_length,
            new.kind,
            new.lang,
            new.browser,
            new.attempts,
            new.now,
            new.expires_at,
            new.browser_mac,
            new.place,
            new.prefix,
            new.now + AHEAD,
        ),
    )


def last_of(db: sqlite3.Connection, new: NewSession, guessed: bytes | None) -> tuple[Old, Habits, tuple[int, int]]:
    """All that is known of a new session's destination, by one look; last, what was guessed there."""
    row = db.execute(_DESTINATION, (new.project_id, new.destination, guessed, new.now + AHEAD)).fetchone()
    chat_id, active, last_channel = row[7:10]
    habits = Habits(chat_id, bool(active), Channel(last_channel) if last_channel else None)
    return Old(*row[:7]), habits, row[10:]


def note_habit(db: sqlite3.Connection, project_id: int, destination: bytes, channel: Channel, now: int) -> None:
    """Somebody logged in by this channel."""
    db.execute(
        "INSERT INTO habit (project_id, destination, channel, uses, last_used_at) VALUES (?, ?, ?, 1, ?)"
        " ON CONFLICT (project_id, destination, channel)"
        " DO UPDATE SET uses = uses + 1, last_used_at = excluded.last_used_at",
        (project_id, destination, channel, now),
    )


_SESSION_BY_ID = """
    SELECT s.id, s.project_id, s.destination, s.sealed, s.kind, s.lang, s.browser, s.code_length, s.state,
    s.attempts_left, s.created_at, s.expires_at, s.browser_mac, s.place, s.joined, a.chat_id, a.active,
    (SELECT channel FROM habit h WHERE h.project_id = s.project_id AND h.destination = s.destination
     ORDER BY last_used_at DESC LIMIT 1)
    FROM session s LEFT JOIN activation a ON a.project_id = s.project_id AND a.destination = s.destination
    WHERE s.id = ?
"""
_DESTINATION = """
    SELECT s.state, s.expires_at, s.created_at, coalesce(s.paused_until, 0), s.id, s.browser_mac, s.joined,
        a.chat_id, a.active, (SELECT channel FROM habit WHERE project_id = ?1 AND destination = ?2
        ORDER BY last_used_at DESC LIMIT 1), coalesce(u.due, 0), coalesce(u.until, 0)
    FROM (SELECT 1) LEFT JOIN session s ON s.project_id = ?1 AND s.destination = ?2
    LEFT JOIN activation a ON a.project_id = ?1 AND a.destination = ?2
    LEFT JOIN usage u ON u.key = ?3 AND u.at <= ?4
"""


def _row_to_session(row: Any, sends: tuple[Send, ...]) -> SessionRow:
    known = Channel(row[17]) if row[17] else None
    fields: list[Any] = [*row[:14], bool(row[14]), row[15], bool(row[16]), known, sends]
    return SessionRow(*fields)


def _sends(db: sqlite3.Connection, session_id: str) -> tuple[Send, ...]:
    newest = {
        channel: Send(
            Channel(channel), state, bool(parked), created_at, Channel(instead) if instead else None, bool(tap)
        )
        for channel, state, parked, created_at, instead, tap in db.execute(
            "SELECT channel, state, began_parked, created_at, instead_of, tap FROM message WHERE session_id = ?"
            " ORDER BY id",
            (session_id,),
        )
    }
    return tuple(newest.values())
