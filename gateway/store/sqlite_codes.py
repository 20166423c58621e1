"""The part of the SQLite store that compares codes: each try is counted, the right one uses the session up."""

import hmac
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from gateway.clock import AHEAD
from gateway.store import Pause


class Candidate(NamedTuple):
    """A session whose code is tried; `channel` is what last carried it."""

    attempts_left: int
    strikes: int
    paused_until: int
    code_mac: bytes
    code_length: int
    sealed: bytes
    destination: bytes
    channel: str | None


def candidate(
    db: sqlite3.Connection, project_id: int, session_id: str, now: int, void_before: int
) -> Candidate | None:
    """The session, if a code may be tried there."""
    row = db.execute(_CANDIDATE, (session_id, project_id, now, void_before, now + AHEAD)).fetchone()
    return Candidate(*row) if row else None


def compared(session: Candidate, macs: Sequence[bytes], now: int, pause: Pause) -> tuple[str, int, int, int]:
    """What `write` makes of the session: used up by the right code, or with an attempt less."""
    equal = [hmac.compare_digest(session.code_mac, mac) for mac in macs]
    if any(equal):
        return "used", session.attempts_left, 0, 0
    left, strikes = session.attempts_left - 1, session.strikes
    if left:
        return "live", left, strikes, session.paused_until
    return "closed", 0, strikes + 1, now + min(pause.first << min(strikes, 20), pause.longest)


def write(db: sqlite3.Connection, became: tuple[str, int, int, int], project_id: int, destination: bytes) -> None:
    """What `compared` said."""
    db.execute(_WRITE, (*became, project_id, destination))


_CANDIDATE = """
    SELECT attempts_left, strikes, paused_until, code_mac, code_length, sealed, destination,
        (SELECT channel FROM message WHERE session_id = ?1 AND state NOT IN ('parked', 'failed')
         ORDER BY id DESC LIMIT 1)
    FROM session WHERE id = ?1 AND project_id = ?2 AND state = 'live' AND expires_at > ?3
        AND created_at BETWEEN ?4 AND ?5
"""
_WRITE = (
    "UPDATE session SET state = ?, attempts_left = ?, strikes = ?, paused_until = ?"
    " WHERE project_id = ? AND destination = ?"
)
