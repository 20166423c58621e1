"""What many processes share: leases, updates that one of them handles, and whose login a chat's contact is for.

Of updates and contacts nothing waits for the disk (`at_ease`): handlers may run twice, and after a crash of the
server no login is left that a contact could be for.
"""

from gateway.store import Expected, Taken
from gateway.store.postgres_connections import Connections

_HOLD = """
    INSERT INTO lease AS l VALUES (%(name)s, %(holder)s, %(now)s + %(lease)s) ON CONFLICT (name)
    DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE l.holder = %(holder)s OR l.until <= %(now)s RETURNING 1
"""
_TAKE = """
    WITH taken AS (
        INSERT INTO taken_update AS t SELECT %(bot)s, %(update)s, %(now)s + %(lease)s, %(now)s FROM at_ease()
        ON CONFLICT (bot_id, update_id) DO UPDATE SET until = excluded.until WHERE t.until <= %(now)s RETURNING 1
    )
    SELECT EXISTS (SELECT FROM taken),
        (SELECT until IS NULL FROM taken_update WHERE bot_id = %(bot)s AND update_id = %(update)s)
"""


def hold(connections: Connections, name: str, holder: str, now: int, lease: int) -> bool:
    """Take the lease, or renew it; whether it is the holder's now."""
    return bool(connections.run(_HOLD, {"name": name, "holder": holder, "now": now, "lease": lease}))


def let_go(connections: Connections, name: str, holder: str) -> None:
    """Leave the lease to others at once."""
    connections.run("DELETE FROM lease WHERE name = %s AND holder = %s", (name, holder))


def take_update(connections: Connections, bot_id: int, update_id: int, now: int, lease: int) -> Taken:
    """Take the update unless another process has it, or had."""
    values = {"bot": bot_id, "update": update_id, "now": now, "lease": lease}
    [(taken, done)] = connections.run(_TAKE, values)
    if taken:
        return "taken"
    return "done" if done else "busy"


def end_update(connections: Connections, bot_id: int, update_id: int, handled: bool) -> None:
    """The update is handled, or given back."""
    handled_now, given_back = "UPDATE taken_update SET until = NULL FROM", "DELETE FROM taken_update USING"
    end = handled_now if handled else given_back
    connections.run(f"{end} at_ease() WHERE bot_id = %s AND update_id = %s", (bot_id, update_id))


def expect(connections: Connections, bot_id: int, chat_id: int, expected: Expected | None) -> None:
    """Remember whose login the chat's next contact is for, or that it is for none."""
    if expected:
        connections.run(
            "INSERT INTO expected SELECT %s, %s, %s, %s, %s::bigint FROM at_ease()"
            " ON CONFLICT (bot_id, chat_id) DO UPDATE SET"
            " project_id = excluded.project_id, session_id = excluded.session_id, met_by = excluded.met_by",
            (bot_id, chat_id, expected.project_id, expected.session_id, expected.met_by),
        )
    else:
        connections.run(
            "DELETE FROM expected USING at_ease() WHERE bot_id = %s AND chat_id = %s", (bot_id, chat_id)
        )


def expected(connections: Connections, bot_id: int, chat_id: int) -> Expected | None:
    """What `expect` remembered."""
    rows = connections.run(
        "SELECT project_id, session_id, met_by FROM expected WHERE bot_id = %s AND chat_id = %s", (bot_id, chat_id)
    )
    return Expected(*rows[0]) if rows else None
