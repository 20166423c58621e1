"""The part of the SQLite store that keeps the audit log. The triggers of migration 0006 make it append-only."""

import sqlite3
from collections.abc import Iterable

import msgspec

from gateway.store.entries import LASTING, Entry, Wanted

_COLUMNS = "at, actor, action, project_id, session_id, destination, reason, detail, times"
_WRITE = f"INSERT INTO audit ({_COLUMNS}, lasting) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


def write(
    db: sqlite3.Connection,
    at: int,
    actor: str,
    action: str,
    project_id: int | None,
    session_id: str = "",
    destination: bytes | None = None,
    reason: str = "",
    detail: str = "",
    times: int = 1,
) -> None:
    """One row, in the transaction of what it tells of."""
    lasting = actor in LASTING
    db.execute(_WRITE, (at, actor, action, project_id, session_id, destination, reason, detail, times, lasting))


def write_all(db: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """See `Store.note`."""
    for entry in entries:
        write(db, *msgspec.structs.astuple(entry))


def read(db: sqlite3.Connection, wanted: Wanted) -> list[Entry]:
    """See `Store.audit`."""
    conditions = ["1"]
    values: list[object] = []

    def asks(condition: str, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    if wanted.project_id is not None:
        asks("project_id = ?", wanted.project_id)
    if wanted.session_id is not None:
        asks("session_id = ?", wanted.session_id)
    if wanted.action is not None:
        asks("(action = ? OR substr(action, 1, ?) = ?)", *_beginning(wanted.action))
    if wanted.destinations is not None:
        whose = f"destination IN ({', '.join('?' * len(wanted.destinations))})"
        theirs = f"session_id <> '' AND session_id IN (SELECT session_id FROM audit WHERE {whose})"  # noqa: S608 - marks
        asks(f"({whose} OR {theirs})", *wanted.destinations, *wanted.destinations)
    if wanted.since is not None:
        asks("at >= ?", wanted.since)
    if wanted.until is not None:
        asks("at < ?", wanted.until)
    if wanted.refused:
        asks("reason <> ''")
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?",  # noqa: S608
        (*values, wanted.limit),
    ).fetchall()
    return sorted((Entry(*row) for row in reversed(rows)), key=lambda entry: entry.at)


def purge(db: sqlite3.Connection, before: int, rows: int, most: int, ahead: int) -> int:
    """See `Store.purge_audit`."""
    newest = db.execute("SELECT coalesce(max(number), 0) FROM audit").fetchone()[0]
    surplus = newest - rows
    return _purge(db, 0, before, surplus, newest, most, ahead) + _purge(db, 1, before, 0, newest, most, ahead)


def _purge(
    db: sqlite3.Connection, lasting: int, before: int, surplus: int, newest: int, most: int, ahead: int
) -> int:
    """Let the oldest rows of one kind go: those of `before`, and those numbered up to `surplus`."""
    kind = "lasting" if lasting else "NOT lasting"
    oldest = f"SELECT number, at FROM audit WHERE {kind} AND number < ? AND at <= ? ORDER BY number LIMIT ?"  # noqa: S608
    rows = db.execute(oldest, (newest, ahead, most)).fetchall()
    gone = [(number,) for number, at in rows if at < before or number <= surplus]
    if gone:
        db.execute("UPDATE audit_floor SET number = max(number, ?) WHERE lasting = ?", (*gone[-1], lasting))
    passed = "number < (SELECT number FROM audit_floor WHERE lasting = ?)"
    dated_ahead = f"SELECT number FROM audit WHERE {kind} AND {passed} AND at > ? ORDER BY number LIMIT ?"  # noqa: S608
    gone += db.execute(dated_ahead, (lasting, ahead, most)).fetchall()
    db.executemany("DELETE FROM audit WHERE number = ?", gone)
    return len(gone)


def _beginning(action: str) -> tuple[str, int, str]:
    return action, len(action) + 1, f"{action}."
