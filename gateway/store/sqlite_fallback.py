"""The part of the SQLite store that reacts to failure: the next channel takes over, and reports come in late."""

import sqlite3
from collections.abc import Mapping, Sequence

from gateway.channels import Channel
from gateway.store import Carried, Limit, Outcome, Toll, sqlite_events, sqlite_limits

Ceilings = Mapping[Channel, Limit]


def take_over(
    db: sqlite3.Connection,
    session_id: str,
    failed: Channel,
    instead: Sequence[Channel],
    ceilings: Ceilings,
    now: int,
) -> None:
    """Queue a live session's code on the first channel not tried yet, unless another one carries it already.

    A channel whose ceiling is reached is passed over.
    """
    live = db.execute(
        "SELECT 1 FROM session WHERE id = ? AND state = 'live' AND expires_at > ?", (session_id, now)
    ).fetchone()
    # Each channel's newest says whether it carries the code: of two that went there, the first may fail late.
    states = dict(db.execute("SELECT channel, state FROM message WHERE session_id = ? ORDER BY id", (session_id,)))
    carried = any(state not in ("failed", "parked") for state in states.values())
    fresh = [channel for channel in instead if channel not in states and _has_room(db, ceilings.get(channel), now)]
    if not live or carried or not fresh:
        return
    if ceiling := ceilings.get(fresh[0]):
        sqlite_limits.charge(db, Toll((ceiling,), 0, 0), now)
    db.execute(
        "INSERT INTO message (session_id, channel, state, began_parked, created_at, due_at, instead_of)"
        " VALUES (?, ?, 'queued', 0, ?, 0, ?)",
        (session_id, fresh[0], now, failed),
    )


def report(
    db: sqlite3.Connection,
    channel: Channel,
    reference: str,
    state: str,
    error: str,
    instead: Sequence[Channel],
    ceilings: Ceilings,
    now: int,
) -> bool:
    """See `Store.report`."""
    row = db.execute(
        "SELECT id FROM message WHERE reference = ? AND reference <> '' AND channel = ?", (reference, channel)
    ).fetchone()
    if row is None:
        return _keep(db, channel, reference, state, error, now)
    return _apply(db, row[0], state, error, instead, ceilings, now)


def carried(db: sqlite3.Connection, channel: Channel, reference: str) -> Carried | None:
    """See `Store.carried`."""
    row = db.execute(
        "SELECT s.project_id, s.id, s.sealed FROM message m JOIN session s ON s.id = m.session_id"
        " WHERE m.reference = ? AND m.reference <> '' AND m.channel = ?",
        (reference, channel),
    ).fetchone()
    return Carried(*row) if row else None


def apply_early(db: sqlite3.Connection, channel: Channel, outcome: Outcome, now: int) -> None:
    """A report that was faster than our own note of the message: now it has its message."""
    early = db.execute(
        "DELETE FROM early_report WHERE reference = ? AND channel = ? RETURNING state, error",
        (outcome.reference, channel),
    ).fetchone()
    if early:
        state, error = early
        _apply(db, outcome.message_id, state, error, outcome.instead, outcome.ceilings, now)


def _apply(
    db: sqlite3.Connection,
    message_id: int,
    state: str,
    error: str,
    instead: Sequence[Channel],
    ceilings: Ceilings,
    now: int,
) -> bool:
    row = db.execute(
        "UPDATE message SET state = ?1, error = ?2 WHERE id = ?3 AND state <> 'delivered' AND state <> ?1"
        " RETURNING session_id, channel",
        (state, error, message_id),
    ).fetchone()
    if row is None:
        return False
    session_id, channel = row
    if state == "failed":
        take_over(db, session_id, Channel(channel), instead, ceilings, now)
    sqlite_events.announce(db, session_id, now)
    return True


def purge(db: sqlite3.Connection, before: int, most: int) -> int:
    """Forget reports whose message never came."""
    return db.execute(
        "DELETE FROM early_report WHERE (reference, channel) IN"
        " (SELECT reference, channel FROM early_report WHERE at < ? LIMIT ?)",
        (before, most),
    ).rowcount


def _has_room(db: sqlite3.Connection, ceiling: Limit | None, now: int) -> bool:
    return ceiling is None or sqlite_limits.has_room(db, ceiling, now)


def _keep(db: sqlite3.Connection, channel: Channel, reference: str, state: str, error: str, now: int) -> bool:
    """Of several early reports the last word stays: delivered."""
    kept = db.execute(
        "INSERT INTO early_report VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET state = excluded.state, error = excluded.error WHERE excluded.state = 'delivered'",
        (reference, channel, state, error, now),
    )
    return kept.rowcount == 1
