"""The part of the PostgreSQL store that keeps a server's own messages (manual/send) and their callbacks."""

from collections.abc import Sequence
from typing import Any

from gateway.channels import Channel
from gateway.store import Callback, ManualRow, NewManual, Ordered
from gateway.store.postgres_connections import Connections
from gateway.store.postgres_limits import Counted

_FIND = """
    SELECT o.id, o.message_id, o.project_id, o.sealed, o.own_code, o.code_length, m.channel, m.state, m.error,
        m.finished_at
    FROM manual AS o JOIN message AS m ON m.id = o.message_id WHERE o.message_id = %s AND o.project_id = %s
"""
_ADD = f"SELECT * FROM add_manual_1({', '.join(['%s'] * 17)})"  # noqa: S608 - marks only


def add(connections: Connections, new: NewManual, counted: Counted) -> Ordered | None:
    """See `Store.add_manual`; None: over a limit."""
    [(outcome, number)] = connections.run(
        _ADD,
        (
            new.id,
            new.project_id,
            new.destination,
            new.sealed,
            new.own_code,
            new.code_length,
            new.lang,
            new.channel.value,
            new.now,
            new.expires_at,
            new.callback_url,
            new.repeat_key,
            new.fingerprint,
            new.provider,
            *counted,
        ),
    )
    if outcome == "over":
        return None
    if outcome == "former":
        return find(connections, new.project_id, number) or "other"
    if outcome != "new":
        return "other" if outcome == "other" else "unreachable"
    return ManualRow(
        new.id, number, new.project_id, new.sealed, new.own_code, new.code_length, new.channel, "queued", "", None
    )


def find(connections: Connections, project_id: int, message_id: int) -> ManualRow | None:
    """See `Store.manual`."""
    rows = connections.run(_FIND, (message_id, project_id))
    return _row(rows[0]) if rows else None


def claim_callbacks(connections: Connections, now: int, lease: int, most: int) -> list[Callback]:
    """See `Store.claim_callbacks`."""
    rows = connections.run("SELECT * FROM claim_callbacks_1(%s, %s, %s)", (now, lease, most))
    return [Callback(_row(more), url, attempts) for attempts, url, *more in rows]


def _row(row: Sequence[Any]) -> ManualRow:
    fields: list[Any] = [*row[:6], Channel(row[6]), *row[7:]]
    return ManualRow(*fields)
