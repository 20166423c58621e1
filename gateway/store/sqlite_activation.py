"""The part of the SQLite store that links Telegram chats to phones."""

import sqlite3

from gateway.store import HANDED_OVER, Link, sqlite_audit, sqlite_events


def activate(db: sqlite3.Connection, link: Link, now: int) -> tuple[bool, int]:
    """See `Store.activate`."""
    key = (link.project_id, link.destination)
    old = db.execute(
        "SELECT bot_id, chat_id, user_id, active FROM activation WHERE project_id = ? AND destination = ?",
        key,
    ).fetchone()
    new = (link.bot_id, link.chat_id, link.user_id, 1)
    if old != new:
        # A Telegram account has one number: proving another one ends the link of the former.
        db.execute(
            "DELETE FROM activation WHERE bot_id = ? AND chat_id = ? AND project_id = ? AND destination <> ?",
            (link.bot_id, link.chat_id, *key),
        )
        columns = "project_id, destination, bot_id, chat_id, user_id, active, changed_at"
        linked = f"INSERT OR REPLACE INTO activation ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our own
        db.execute(linked, (*key, *new, now))
    released = db.execute(
        "UPDATE message SET state = 'queued', created_at = ?1, due_at = 0 WHERE state = 'parked' AND session_id ="
        " (SELECT id FROM session WHERE project_id = ?2 AND destination = ?3 AND state = 'live'"
        " AND expires_at > ?1)",
        (now, *key),
    ).rowcount
    if old != new:
        again = "again" if old and old[:3] == new[:3] else ""
        sqlite_audit.write(db, now, "telegram", "bot.activate", link.project_id, "", link.destination, "", again)
    if old != new or released:
        sqlite_events.announce_destination(db, *key, now)
    return old != new, released


def hand_over(db: sqlite3.Connection, project_id: int, bot_id: int, after: bytes) -> bytes | None:
    """The project's next chats wait to be reactivated at this bot; the destination of the last, None: of none.

    A person's chat has the same id at every bot, but a new one may not write before they start it.
    """
    last: bytes | None = db.execute(
        "SELECT max(destination) FROM (SELECT destination FROM activation"
        " WHERE project_id = ? AND destination > ? ORDER BY destination LIMIT ?)",
        (project_id, after, HANDED_OVER),
    ).fetchone()[0]
    db.execute(
        "UPDATE activation SET bot_id = ?1, active = 0"
        " WHERE project_id = ?2 AND destination > ?3 AND destination <= ?4 AND bot_id <> ?1",
        (bot_id, project_id, after, last),
    )
    return last
