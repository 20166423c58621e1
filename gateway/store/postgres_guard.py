"""The part of the PostgreSQL store that keeps the bill: which prefixes convert or are stopped, what is used up."""

from collections.abc import Sequence

import msgspec

from gateway.channels import Channel
from gateway.store import Limit, Stop, Turnout, postgres_audit
from gateway.store.entries import Entry
from gateway.store.postgres_connections import Connections
from gateway.store.postgres_values import names, octets

_COLUMNS = "project_id, prefix, since, until, actor, sent, entered, strikes, calm_until"
# By the index on ids alone: first the newest sessions, then of those the ones with a message that cost.
_TURNOUTS = """
    SELECT s.project_id, s.prefix, count(*), count(*) FILTER (WHERE s.state IN ('used', 'approved')) FROM
        (SELECT id, project_id, prefix, state, created_at FROM session
         WHERE id >= %s AND id < %s ORDER BY id DESC LIMIT %s) AS s
    WHERE s.prefix <> ''
        AND EXISTS (SELECT FROM message AS m WHERE m.session_id = s.id AND m.channel = ANY (%s)
            AND m.state NOT IN ('parked', 'failed'))
        AND NOT EXISTS (SELECT FROM stop AS p WHERE p.project_id = s.project_id
            AND starts_with(s.prefix, p.prefix) AND s.created_at < greatest(p.until, p.calm_until))
    GROUP BY s.project_id, s.prefix ORDER BY s.project_id, s.prefix
"""


def turnouts(
    connections: Connections, first: str, end: str, most: int, channels: Sequence[Channel]
) -> list[Turnout]:
    """See `Store.turnouts`; ids instead of times."""
    return [Turnout(*row) for row in connections.run(_TURNOUTS, (first, end, most, names(channels)))]


def stops(connections: Connections) -> list[Stop]:
    """See `Store.stops`."""
    rows = connections.run(f'SELECT {_COLUMNS} FROM stop ORDER BY project_id, prefix COLLATE "C"')  # noqa: S608
    return [Stop(*row) for row in rows]


def stop(connections: Connections, new: Stop, entry: Entry) -> bool:
    """See `Store.stop`."""
    return _told(
        connections,
        entry,
        f"INSERT INTO stop ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"  # noqa: S608
        " ON CONFLICT (project_id, prefix) DO UPDATE SET"
        " since = excluded.since, until = excluded.until, actor = excluded.actor, sent = excluded.sent,"
        " entered = excluded.entered, strikes = excluded.strikes, calm_until = 0"
        " WHERE excluded.actor = 'operator' OR greatest(stop.until, stop.calm_until) <= excluded.since",
        msgspec.structs.astuple(new),
    )


def lift(connections: Connections, project_id: int, prefix: str, now: int, calm_until: int, entry: Entry) -> bool:
    """See `Store.lift`."""
    return _told(
        connections,
        entry,
        "UPDATE stop SET until = %s, calm_until = %s WHERE project_id = %s AND prefix = %s AND until > %s",
        (now, calm_until, project_id, prefix, now),
    )


def full(connections: Connections, ceilings: Sequence[Limit], now: int) -> list[Limit]:
    """See `Store.full`."""
    keys = octets([one.key for one in ceilings])
    found = {key: (due, until) for key, due, until in connections.run(_STATES, (keys, now))}
    return [one for one in ceilings if not _has_room(one, *found.get(one.key, (0, 0)), now)]


def tell_full(connections: Connections, ceiling: Limit, entry: Entry) -> bool:
    """See `Store.tell_full`. No block ever strikes a ceiling's row, so the column is free for this."""
    return _told(
        connections,
        entry,
        "INSERT INTO usage AS u (key, due, strikes) VALUES (%s, %s, 1)"
        " ON CONFLICT (key) DO UPDATE SET strikes = 1 WHERE u.strikes = 0",
        (ceiling.key, entry.at),
    )


_STATES = "SELECT key, due, until FROM usage WHERE key = ANY (%s) AND at <= latest(%s)"


def _has_room(limit: Limit, due: int, until: int, now: int) -> bool:
    return until <= now and max(due, now) + limit.cost - now <= limit.window


def _told(connections: Connections, entry: Entry, statement: str, values: tuple[object, ...]) -> bool:
    with connections.transaction() as db:
        news = db.execute(statement, values).rowcount == 1
        if news:
            postgres_audit.write(db, entry)
    return news
