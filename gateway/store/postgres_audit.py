"""The part of the PostgreSQL store that keeps the audit log. Triggers (migration 0002) make it append-only."""

from collections.abc import Iterable

import psycopg

from gateway.store.entries import LASTING, Entry, Wanted
from gateway.store.postgres_connections import Connections, cleaned
from gateway.store.postgres_pool import Row

_COLUMNS = "at, actor, action, project_id, session_id, destination, reason, detail, times"
_WRITE = f"INSERT INTO audit ({_COLUMNS}, lasting) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"  # noqa: S608
_COPY = f"COPY audit ({_COLUMNS}, lasting) FROM STDIN"


def write(db: psycopg.Cursor[Row], entry: Entry) -> None:
    """One row, in the transaction of what it tells of."""
    db.execute(_WRITE, _row(entry))


def write_all(connections: Connections, entries: Iterable[Entry]) -> None:
    """See `Store.note`."""
    with connections.transaction() as db:
        db.execute("SELECT at_ease()")
        with db.copy(_COPY) as into:  # a tenth of what an INSERT for each costs: every login leaves one here
            for entry in entries:
                into.write_row(cleaned(_row(entry)))


def read(db: psycopg.Cursor[Row], wanted: Wanted) -> list[Entry]:
    """See `Store.audit`."""
    conditions = ["true"]
    values: list[object] = []

    def asks(condition: str, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    if wanted.project_id is not None:
        asks("project_id = %s", wanted.project_id)
    if wanted.session_id is not None:
        asks("session_id = %s", wanted.session_id)
    if wanted.action is not None:
        asks("(action = %s OR starts_with(action, %s))", wanted.action, f"{wanted.action}.")
    if wanted.destinations is not None:
        whose = list(wanted.destinations)
        theirs = "session_id <> '' AND session_id IN (SELECT session_id FROM audit WHERE destination = ANY (%s))"
        asks(f"(destination = ANY (%s) OR {theirs})", whose, whose)
    if wanted.since is not None:
        asks("at >= %s", wanted.since)
    if wanted.until is not None:
        asks("at < %s", wanted.until)
    if wanted.refused:
        asks("reason <> ''")
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT %s",  # noqa: S608
        (*values, wanted.limit),
    ).fetchall()
    return sorted((Entry(*row) for row in reversed(rows)), key=lambda entry: entry.at)


def _row(entry: Entry) -> Row:
    return (
        entry.at,
        entry.actor,
        entry.action,
        entry.project_id,
        entry.session_id,
        entry.destination,
        entry.reason,
        entry.detail,
        entry.times,
        entry.actor in LASTING,
    )
