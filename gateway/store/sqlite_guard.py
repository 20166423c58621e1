"""The part of the SQLite store that keeps the bill: which prefixes convert, which are stopped, what is used up."""

import sqlite3
from collections.abc import Sequence
from functools import cache

from gateway.channels import Channel
from gateway.store import Limit, Stop, Turnout, sqlite_audit, sqlite_limits
from gateway.store.entries import Entry

_COLUMNS = "project_id, prefix, since, until, actor, sent, entered, strikes, calm_until"


def turnouts(
    db: sqlite3.Connection, first: str, end: str, most: int, channels: Sequence[Channel]
) -> list[Turnout]:
    """See `Store.turnouts`; ids instead of times."""
    rows = db.execute(_turnouts(len(channels)), (first, end, most, *channels))
    return [Turnout(*row) for row in rows]


def stops(db: sqlite3.Connection) -> list[Stop]:
    """See `Store.stops`."""
    return [Stop(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM stop ORDER BY project_id, prefix")]  # noqa: S608


def stop(db: sqlite3.Connection, new: Stop, entry: Entry) -> bool:
    """See `Store.stop`."""
    stopped = db.execute(
        f"INSERT INTO stop ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"  # noqa: S608
        " since = excluded.since, until = excluded.until, actor = excluded.actor, sent = excluded.sent,"
        " entered = excluded.entered, strikes = excluded.strikes, calm_until = 0"
        " WHERE excluded.actor = 'operator' OR max(stop.until, stop.calm_until) <= excluded.since",
        (
            new.project_id,
            new.prefix,
            new.since,
            new.until,
            new.actor,
            new.sent,
            new.entered,
            new.strikes,
            new.calm_until,
        ),
    ).rowcount
    return _told(db, stopped, entry)


def lift(db: sqlite3.Connection, project_id: int, prefix: str, now: int, calm_until: int, entry: Entry) -> bool:
    """See `Store.lift`."""
    lifted = db.execute(
        "UPDATE stop SET until = ?1, calm_until = ?2 WHERE project_id = ?3 AND prefix = ?4 AND until > ?1",
        (now, calm_until, project_id, prefix),
    ).rowcount
    return _told(db, lifted, entry)


def full(db: sqlite3.Connection, ceilings: Sequence[Limit], now: int) -> list[Limit]:
    """See `Store.full`."""
    return [one for one in ceilings if not sqlite_limits.has_room(db, one, now)]


def tell_full(db: sqlite3.Connection, ceiling: Limit, entry: Entry) -> bool:
    """See `Store.tell_full`. No block ever strikes a ceiling's row, so the column is free for this."""
    told = db.execute(
        "INSERT INTO usage (key, due, strikes) VALUES (?, ?, 1) ON CONFLICT (key) DO UPDATE SET strikes = 1"
        " WHERE strikes = 0",
        (ceiling.key, entry.at),
    ).rowcount
    return _told(db, told, entry)


def purge(db: sqlite3.Connection, before: int) -> int:
    """Forget stops that ended, and lifts that held, until `before`; there are few."""
    return db.execute("DELETE FROM stop WHERE until < ?1 AND calm_until < ?1", (before,)).rowcount


def _told(db: sqlite3.Connection, rows: int, entry: Entry) -> bool:
    if rows:
        sqlite_audit.write_all(db, [entry])
    return rows == 1


@cache
def _turnouts(channels: int) -> str:
    """By the index on ids alone: first the newest sessions, then of those the ones with a message that cost."""
    marks = ", ".join("?" * channels)
    return f"""
        SELECT newest.project_id, newest.prefix, count(*), sum(newest.state IN ('used', 'approved')) FROM
            (SELECT id, project_id, prefix, state, created_at FROM session INDEXED BY session_id
             WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?) newest
        WHERE newest.prefix <> ''
            AND EXISTS (SELECT 1 FROM message m WHERE m.session_id = newest.id AND m.channel IN ({marks})
                AND m.state NOT IN ('parked', 'failed'))
            AND NOT EXISTS (SELECT 1 FROM stop p WHERE p.project_id = newest.project_id
                AND substr(newest.prefix, 1, length(p.prefix)) = p.prefix
                AND newest.created_at < max(p.until, p.calm_until))
        GROUP BY newest.project_id, newest.prefix ORDER BY newest.project_id, newest.prefix
    """  # noqa: S608 - marks only
