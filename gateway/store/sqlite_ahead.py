"""The part of the SQLite store that forgets what a clock that was ahead has dated."""

import sqlite3


def purge(db: sqlite3.Connection, void: str, after: int, most: int) -> int:
    """See `Store.purge_ahead`; `void` is the first ULID of that time."""
    gone = db.execute(
        "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE id >= ? ORDER BY id LIMIT ?)", (void, most)
    ).rowcount
    gone += db.execute(
        "DELETE FROM expected WHERE (bot_id, chat_id) IN"
        " (SELECT bot_id, chat_id FROM expected WHERE session_id >= ? ORDER BY session_id LIMIT ?)",
        (void, most),
    ).rowcount
    gone += db.execute(
        "DELETE FROM manual WHERE id IN (SELECT id FROM manual o WHERE id >= ?"
        " AND NOT EXISTS (SELECT 1 FROM message m"
        " WHERE m.id = o.message_id AND m.state IN ('parked', 'queued', 'sending'))"
        " AND NOT EXISTS (SELECT 1 FROM callback c WHERE c.message_id = o.message_id) ORDER BY id LIMIT ?)",
        (void, most),
    ).rowcount
    gone += db.execute(
        "DELETE FROM message WHERE id IN (SELECT id FROM message m WHERE session_id >= ?"
        " AND NOT EXISTS (SELECT 1 FROM manual o WHERE o.id = m.session_id) ORDER BY session_id LIMIT ?)",
        (void, most),
    ).rowcount
    gone += db.execute(
        "DELETE FROM event WHERE number IN (SELECT number FROM"
        " (SELECT number, at FROM event ORDER BY number LIMIT ?) WHERE at > ?)"
        " AND number < (SELECT max(number) FROM event)",
        (most, after),
    ).rowcount
    return gone
