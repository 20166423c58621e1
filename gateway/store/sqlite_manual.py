"""The part of the SQLite store that keeps a server's own messages (manual/send) and their callbacks."""

import sqlite3
from typing import Any

from gateway.channels import Channel
from gateway.store import Callback, ManualRow, NewManual, Ordered

_COLUMNS = """
    o.id, o.message_id, o.project_id, o.sealed, o.own_code, o.code_length, m.channel, m.state, m.error,
    m.finished_at
"""


def add(db: sqlite3.Connection, new: NewManual) -> Ordered:
    """See `Store.add_manual`."""
    if new.repeat_key:
        former = db.execute(
            f"SELECT o.fingerprint, {_COLUMNS} FROM manual o JOIN message m ON m.id = o.message_id"  # noqa: S608
            " WHERE o.project_id = ? AND o.repeat_key = ?",
            (new.project_id, new.repeat_key),
        ).fetchone()
        if former:
            return _row(former[1:]) if former[0] == new.fingerprint else "other"
    if new.channel is Channel.TELEGRAM and not _is_active(db, new):
        return "unreachable"
    number = db.execute(
        "INSERT INTO message (session_id, channel, state, began_parked, created_at, due_at)"
        " VALUES (?, ?, 'queued', 0, ?, 0)",
        (new.id, new.channel, new.now),
    ).lastrowid
    db.execute(
        "INSERT INTO manual (id, message_id, project_id, destination, sealed, own_code, code_length, lang,"
        " expires_at, callback_url, repeat_key, fingerprint, provider)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.id,
            number,
            new.project_id,
            new.destination,
            new.sealed,
            new.own_code,
            new.code_length,
            new.lang,
            new.expires_at,
            new.callback_url,
            new.repeat_key,
            new.fingerprint,
            new.provider,
        ),
    )
    assert number is not None, "SQLite numbers every row it inserts"  # noqa: S101
    return ManualRow(
        new.id, number, new.project_id, new.sealed, new.own_code, new.code_length, new.channel, "queued", "", None
    )


def find(db: sqlite3.Connection, project_id: int, message_id: int) -> ManualRow | None:
    """See `Store.manual`."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM manual o JOIN message m ON m.id = o.message_id"  # noqa: S608 - our own names
        " WHERE o.message_id = ? AND o.project_id = ?",
        (message_id, project_id),
    ).fetchone()
    return _row(row) if row else None


def ended(db: sqlite3.Connection, message_id: int, now: int) -> None:
    """A message is final: if it is a server's own and has a callback, that is due."""
    db.execute(
        "INSERT OR IGNORE INTO callback SELECT message_id, ?, 0 FROM manual"
        " WHERE message_id = ? AND callback_url IS NOT NULL",
        (now, message_id),
    )


def claim_callbacks(db: sqlite3.Connection, now: int, lease: int, most: int) -> list[Callback]:
    """See `Store.claim_callbacks`."""
    rows = db.execute(
        f"SELECT c.attempts, o.callback_url, {_COLUMNS} FROM callback c"  # noqa: S608 - our own names
        " LEFT JOIN manual o ON o.message_id = c.message_id LEFT JOIN message m ON m.id = c.message_id"
        " WHERE c.due_at <= ? ORDER BY c.due_at LIMIT ?",
        (now, most),
    ).fetchall()
    db.executemany(
        "UPDATE callback SET attempts = attempts + 1, due_at = ? WHERE message_id = ?",
        [(now + lease, row[3]) for row in rows],
    )
    return [Callback(_row(more), url, attempts + 1) for attempts, url, *more in rows]


def finish_callback(db: sqlite3.Connection, message_id: int, due_at: int | None, tried: bool) -> None:
    """See `Store.finish_callback`."""
    if due_at is None:
        db.execute("DELETE FROM callback WHERE message_id = ?", (message_id,))
    else:
        again = "UPDATE callback SET due_at = ?, attempts = attempts - ? WHERE message_id = ?"
        db.execute(again, (due_at, 0 if tried else 1, message_id))


def purge(db: sqlite3.Connection, oldest: str, most: int) -> int:
    """Forget what is older than a ULID, with the callbacks that nobody answered in all that time."""
    numbers = db.execute(
        "DELETE FROM manual WHERE id IN (SELECT id FROM manual WHERE id < ? ORDER BY id LIMIT ?)"
        " RETURNING message_id",
        (oldest, most),
    ).fetchall()
    db.executemany("DELETE FROM callback WHERE message_id = ?", numbers)
    return len(numbers)


def _is_active(db: sqlite3.Connection, new: NewManual) -> bool:
    found = db.execute(
        "SELECT 1 FROM activation WHERE project_id = ? AND destination = ? AND active = 1",
        (new.project_id, new.destination),
    ).fetchone()
    return found is not None


def _row(row: Any) -> ManualRow:
    fields: list[Any] = [*row[:6], Channel(row[6]), *row[7:]]
    return ManualRow(*fields)
