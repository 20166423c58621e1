"""What many processes share: leases, updates that one of them handles, and whose login a chat's contact is for."""

import sqlite3

from gateway.store import Expected, Taken

_HOLD = (
    "INSERT INTO lease VALUES (?1, ?2, ?3 + ?4) ON CONFLICT (name)"
    " DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE holder = ?2 OR until <= ?3"
)
_TAKE = (
    "INSERT INTO taken_update VALUES (?1, ?2, ?3 + ?4, ?3) ON CONFLICT (bot_id, update_id)"
    " DO UPDATE SET until = excluded.until WHERE until <= ?3"
)


def hold(db: sqlite3.Connection, name: str, holder: str, now: int, lease: int) -> bool:
    """Take the lease, or renew it; whether it is the holder's now."""
    return db.execute(_HOLD, (name, holder, now, lease)).rowcount == 1


def let_go(db: sqlite3.Connection, name: str, holder: str) -> None:
    """Leave the lease to others at once."""
    db.execute("DELETE FROM lease WHERE name = ? AND holder = ?", (name, holder))


def take_update(db: sqlite3.Connection, bot_id: int, update_id: int, now: int, lease: int) -> Taken:
    """Take the update unless another process has it, or had."""
    if db.execute(_TAKE, (bot_id, update_id, now, lease)).rowcount == 1:
        return "taken"
    key = "SELECT until IS NULL FROM taken_update WHERE bot_id = ? AND update_id = ?"
    return "done" if db.execute(key, (bot_id, update_id)).fetchone()[0] else "busy"


def end_update(db: sqlite3.Connection, bot_id: int, update_id: int, handled: bool) -> None:
    """The update is handled, or given back."""
    end = "UPDATE taken_update SET until = NULL" if handled else "DELETE FROM taken_update"
    db.execute(f"{end} WHERE bot_id = ? AND update_id = ?", (bot_id, update_id))


def expect(db: sqlite3.Connection, bot_id: int, chat_id: int, expected: Expected | None) -> None:
    """Remember whose login the chat's next contact is for, or that it is for none."""
    if expected:
        values = (bot_id, chat_id, expected.project_id, expected.session_id, expected.met_by)
        db.execute("INSERT OR REPLACE INTO expected VALUES (?, ?, ?, ?, ?)", values)
    else:
        db.execute("DELETE FROM expected WHERE bot_id = ? AND chat_id = ?", (bot_id, chat_id))


def expected(db: sqlite3.Connection, bot_id: int, chat_id: int) -> Expected | None:
    """What `expect` remembered."""
    row = db.execute(
        "SELECT project_id, session_id, met_by FROM expected WHERE bot_id = ? AND chat_id = ?", (bot_id, chat_id)
    ).fetchone()
    return Expected(*row) if row else None


def purge(db: sqlite3.Connection, oldest: str, before: int, most: int) -> int:
    """Forget updates from `before`, and expectations of sessions older than `oldest`."""
    gone = db.execute(
        "DELETE FROM taken_update WHERE (bot_id, update_id) IN"
        " (SELECT bot_id, update_id FROM taken_update WHERE at < ? ORDER BY at LIMIT ?)",
        (before, most),
    ).rowcount
    gone += db.execute(
        "DELETE FROM expected WHERE (bot_id, chat_id) IN"
        " (SELECT bot_id, chat_id FROM expected WHERE session_id < ? ORDER BY session_id LIMIT ?)",
        (oldest, most),
    ).rowcount
    return gone
