"""The part of the SQLite store that one tap needs. Each decision is one UPDATE: no race can come between."""

import sqlite3
from typing import Literal

from gateway.clock import AHEAD
from gateway.store import Pause

_LINKED = """
    EXISTS (SELECT 1 FROM activation a WHERE a.project_id = session.project_id
        AND a.destination = session.destination AND a.bot_id = :bot_id AND a.chat_id = :chat_id AND a.active = 1)
"""
_THEIRS = f"id = :id AND expires_at > :now AND created_at BETWEEN :void AND :ahead AND {_LINKED}"
_OPEN = f"{_THEIRS} AND state = 'live'"
_REST = ":now + min(:first << min(strikes, 20), :longest)"
# An approved session's code is forgotten: nothing opens it any more but its browser.
_PICK = f"""
    UPDATE session SET
        state = iif(:right, 'approved', 'closed'),
        code_mac = iif(:right, x'', code_mac),
        strikes = iif(:right, 0, strikes + 1),
        paused_until = iif(:right, 0, {_REST})
    WHERE {_OPEN} AND browser_mac <> x'' AND NOT joined
    RETURNING state, project_id, destination
"""  # noqa: S608 - our own text
_DENY = f"UPDATE session SET state = 'closed', strikes = strikes + 1, paused_until = {_REST} WHERE {_OPEN}"  # noqa: S608
_DENY += " RETURNING project_id"
_STANDS = f"SELECT state, code_mac = x'' FROM session WHERE {_THEIRS} AND browser_mac <> x''"  # noqa: S608
_COLLECT = """
    UPDATE session SET state = 'used'
    WHERE id = ? AND project_id = ? AND state = 'approved' AND browser_mac = ? AND browser_mac <> x''
        AND expires_at > ? AND created_at BETWEEN ? AND ?
    RETURNING sealed
"""

Picked = tuple[Literal["approved", "closed"], int, bytes]


def values(
    bot_id: int, chat_id: int, session_id: str, now: int, void_before: int, pause: Pause
) -> dict[str, int | str]:
    """What the statements of a press are given."""
    return {
        "id": session_id,
        "bot_id": bot_id,
        "chat_id": chat_id,
        "now": now,
        "void": void_before,
        "ahead": now + AHEAD,
        "first": pause.first,
        "longest": pause.longest,
    }


def pick(
    db: sqlite3.Connection, press: dict[str, int | str], right: bool
) -> Picked | Literal["again", "joined"] | None:
    """What became of the session, with its project and destination; otherwise as `Store.pick` says."""
    picked: Picked | None = db.execute(_PICK, {**press, "right": right}).fetchone()
    if picked:
        return picked
    state, approved = db.execute(_STANDS, press).fetchone() or ("", False)
    if state == "live":
        return "joined"
    return "again" if right and approved and state in ("approved", "used") else None


def deny(db: sqlite3.Connection, press: dict[str, int | str]) -> int | None:
    """Close the session; its project, None where it was not open."""
    row = db.execute(_DENY, press).fetchone()
    return row[0] if row else None


def collect(
    db: sqlite3.Connection, project_id: int, session_id: str, browser_mac: bytes, now: int, void_before: int
) -> bytes | None:
    """Use an approved session up; its sealed contact."""
    row = db.execute(_COLLECT, (session_id, project_id, browser_mac, now, void_before, now + AHEAD)).fetchone()
    return row[0] if row else None
