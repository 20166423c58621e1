"""The store on PostgreSQL: many processes and machines, plain SQL, each hot verb one statement.

What must happen in one transaction is a function of the schema (migrations/postgres), called by one statement: one
round trip. What a login writes is committed with `synchronous_commit=off`: nothing is lost when a process of ours
dies, but a crash of the server can take the last commits, a "used" among them; so sessions from before such a
crash are void. Activations, keys and projects are on the disk before anybody is answered.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Any, Literal, TypeVar

import msgspec

from gateway.channels import Channel
from gateway.clock import AHEAD, system_clock, to_iso
from gateway.ids import lowest_ulid
from gateway.projects import Project, ProjectSettings, changed_names
from gateway.store import (
    HANDED_OVER,
    SEARCHED,
    ApiKey,
    Busy,
    Callback,
    Carried,
    Claimed,
    Collected,
    EndedSend,
    Expected,
    Guesses,
    Limit,
    Link,
    ManualRow,
    NewManual,
    NewSession,
    Opened,
    Order,
    Ordered,
    Outcome,
    OwnCode,
    Pause,
    Paused,
    Queued,
    Refused,
    Round,
    Send,
    SessionRow,
    Stop,
    StoreError,
    Taken,
    Toll,
    Tried,
    Turnout,
    Waiting,
    forgetting,
    postgres_audit,
    postgres_guard,
    postgres_limits,
    postgres_manual,
    postgres_many,
    postgres_schema,
)
from gateway.store.entries import By, Entry, Wanted
from gateway.store.postgres_beside import Beside
from gateway.store.postgres_connections import Connections, connect, unhurried
from gateway.store.postgres_limits import counted
from gateway.store.postgres_values import names, numbers, octets
from gateway.store.postgres_watch import PostgresWatch


def _call(function: str, values: int) -> str:
    return f"SELECT * FROM {function}({', '.join(['%s'] * values)})"  # noqa: S608 - our own names


_OPEN = _call("open_session_1", 36)
_QUEUE = _call("queue_1", 13)
_TRY = _call("try_code_1", 18)
_ACTIVATE = _call("activate_1", 9)
_DELIVER = _call("deliver_1", 5)
_EVENTS = _call("events_1", 3)
_COLLECT = _call("collect_1", 5)
_SPEND = _call("spend_1", 10)
# A person's chat has the same id at every bot, but a new one may not write before they start it.
_HAND_OVER = """
    WITH next AS (
        SELECT destination FROM activation WHERE project_id = %(project)s AND destination > %(after)s
        ORDER BY destination LIMIT %(most)s
    ), handed_over AS (
        UPDATE activation AS a SET bot_id = %(bot)s, active = false FROM next, at_ease()
        WHERE a.project_id = %(project)s AND a.destination = next.destination AND a.bot_id <> %(bot)s
    )
    SELECT destination FROM next ORDER BY destination DESC LIMIT 1
"""
T = TypeVar("T")
_NO_ORDER = (False, None, None, None, 0, False, False, True, False, None, None, None, None)


class PostgresStore:
    """`Store` on a PostgreSQL server. Safe to share between threads."""

    def __init__(self, url: str, listen_url: str, most: int) -> None:
        self._url = url
        self._listen_url = listen_url or url
        self._connections = Connections(url, most)
        self._run = self._connections.run
        self._beside: Beside | None = None
        self._purged_to = b""

    # Schema

    def migrate(self) -> int:
        with closing(connect(self._url)) as connection:
            return postgres_schema.migrate(connection)

    def behind(self) -> int:
        with closing(connect(self._url)) as connection:
            return postgres_schema.behind(connection)

    def close(self) -> None:
        if self._beside and self._beside.thread == threading.get_ident():  # else its loop goes on
            self._end_beside()
        self._connections.close()

    def _end_beside(self) -> None:
        beside, self._beside = self._beside, None
        if beside:
            beside.close()

    def together(self) -> None:
        """Statements would wait for each other's locks, and for as many answers as before."""

    async def aside(self, act: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        if self._beside is None or self._beside.loop is not loop:
            self._end_beside()
            self._beside = Beside(loop, self._connections)
        return await self._beside.run(act)

    def ping(self) -> None:
        self._run(
            "INSERT INTO meta VALUES ('ping', int8send((random() * 1e15)::bigint))"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        )

    # Small things

    def keep(self, name: str, value: bytes) -> bytes:
        self._run("INSERT INTO meta VALUES (%s, %s) ON CONFLICT DO NOTHING", (name, value))
        kept: bytes = self._run("SELECT value FROM meta WHERE name = %s", (name,))[0][0]
        return kept

    def replace(self, name: str, value: bytes) -> None:
        self._run(
            "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def projects(self) -> list[Project]:
        rows = self._run("SELECT id, settings FROM project ORDER BY id")
        return [Project(key, _settings(text)) for key, text in rows]

    def api_keys(self) -> list[ApiKey]:
        return [
            ApiKey(*row) for row in self._run("SELECT hash, project_id, secret, code_key, expires_at FROM api_key")
        ]

    def add_project(self, settings: ProjectSettings, now: int, by: By | None = None) -> Project:
        with self._connections.transaction() as db:
            return Project(_add_project(db, settings, by or By("system", now)), settings)

    def change_project(self, project_id: int, settings: ProjectSettings, by: By | None = None) -> None:
        text = msgspec.json.encode(settings).decode()
        rows = self._run("SELECT settings FROM project WHERE id = %s", (project_id,))
        before = _settings(rows[0][0]) if rows else settings
        other_bot = before.bot_id != settings.bot_id
        if other_bot:
            self._hand_over(project_id, settings.bot_id)
        with self._connections.transaction() as db:
            old = db.execute("SELECT settings FROM project WHERE id = %s FOR UPDATE", (project_id,)).fetchone()
            if other_bot and old and _settings(old[0]) not in (before, settings):
                raise Busy("the project was changed meanwhile")
            if old and (changed := changed_names(old[0], settings)):
                by = by or By("system", system_clock())
                entry = Entry(by.now, by.actor, "project.change", project_id, detail=changed)
                postgres_audit.write(db, entry)
            db.execute("UPDATE project SET settings = %s WHERE id = %s", (text, project_id))
        if other_bot:
            self._hand_over(project_id, settings.bot_id)  # who was linked to the former bot meanwhile

    def _hand_over(self, project_id: int, bot_id: int) -> None:
        chats = {"project": project_id, "bot": bot_id, "after": b"", "most": HANDED_OVER}
        while rows := self._run(_HAND_OVER, chats):
            chats["after"] = rows[0][0]

    def ensure_first_project(
        self,
        settings: ProjectSettings,
        public: bytes,
        secret: bytes,
        code_key: bytes,
        now: int,
        old_until: int = 0,
    ) -> None:
        with self._connections.transaction() as db:
            db.execute("LOCK TABLE project, api_key IN SHARE ROW EXCLUSIVE MODE")
            row = db.execute("SELECT min(id) FROM project").fetchone()
            first = row[0] if row else None
            if first is None:
                first = _add_project(db, settings, By("system", now))
            current = db.execute("SELECT hash FROM api_key WHERE project_id = %s AND expires_at IS NULL", (first,))
            if {digest for (digest,) in current} != {public, secret}:
                _set_keys(db, first, public, secret, code_key, old_until)
                _note_keys(db, first, old_until, By("system", now))
            elif old_until <= now:
                _end_old_keys(db, first)

    def set_keys(
        self,
        project_id: int,
        public: bytes,
        secret: bytes,
        code_key: bytes,
        old_until: int,
        by: By | None = None,
    ) -> None:
        with self._connections.transaction() as db:
            db.execute("LOCK TABLE api_key IN SHARE ROW EXCLUSIVE MODE")
            _set_keys(db, project_id, public, secret, code_key, old_until)
            _note_keys(db, project_id, old_until, by)

    def reseal_key(self, digest: bytes, code_key: bytes) -> None:
        self._run("UPDATE api_key SET code_key = %s WHERE hash = %s", (code_key, digest))

    # Sessions

    def open_session(
        self,
        new: NewSession,
        order: Order | None,
        toll: Toll | None = None,
        guesses: Guesses | None = None,
    ) -> Opened | Paused | Refused:
        guess: tuple[object, ...] = (None, None, None, False)
        if guesses:
            key = postgres_limits.guesses_key(guesses, new.destination)
            guess = (key, guesses.cost(new.code_length), guesses.window, guesses.known)
        proved = toll is None or toll.proved
        [row] = self._run(_OPEN, (*_new(new), *_ordered(order, proved), *counted(toll), *guess))
        outcome, until, chat_id, active, last_channel, sent_to, sent, found = row
        if outcome == "paused":
            return Paused(until)
        carrier = Channel(sent_to) if sent_to else None
        if outcome == "over" and toll:
            costs = order and carrier and sent in ("queued", "parked") and not (carrier == "telegram" and active)
            ceiling = order.ceilings.get(carrier) if order and carrier and costs else None
            return postgres_limits.strike(self._connections, toll.plus(ceiling), new.now)
        if found:
            return Opened(_session(found), carrier)
        known = Channel(last_channel) if last_channel else None
        sends = (Send(carrier, sent, sent == "parked", new.now),) if carrier and sent else ()
        return Opened(new.as_row(chat_id, active, known, sends), carrier)

    def session(self, project_id: int | None, session_id: str) -> SessionRow | None:
        row = self.sessions((session_id,)).get(session_id)
        return row if row and project_id in (None, row.project_id) else None

    def sessions(self, session_ids: Sequence[str]) -> dict[str, SessionRow]:
        rows = self._run("SELECT session_1(id) FROM unnest(%s::text[]) AS id", (list(session_ids),))
        found = [_session(shown) for (shown,) in rows if shown]
        return {row.id: row for row in found}

    def queue(
        self,
        project_id: int,
        session_id: str,
        channel: Channel,
        now: int,
        cooldown: int,
        own: OwnCode | None = None,
        parks: bool = True,
        toll: Toll | None = None,
        actor: str = "system",
    ) -> Queued | Refused | None:
        code = (own.mac, own.sealed, own.length) if own else (None, None, None)
        values = (project_id, session_id, channel.value, now, cooldown, *code, parks, actor)
        [(outcome, found)] = self._run(_QUEUE, (*values, *counted(toll)))
        if outcome is None:
            return None
        if outcome == "over" and toll:
            return postgres_limits.strike(self._connections, toll, now)
        return Queued(_session(found), outcome)

    def set_code(self, project_id: int, session_id: str, own: OwnCode, now: int) -> bool:
        rows = self._run(
            "UPDATE session SET code_mac = %s, own_code = %s, code_length = %s WHERE id = %s AND project_id = %s"
            " AND state = 'live' AND expires_at > %s AND created_at <= latest(%s)"
            " AND era = (SELECT i.era FROM incarnation AS i) RETURNING 1",
            (own.mac, own.sealed, own.length, session_id, project_id, now, now),
        )
        return bool(rows)

    def try_code(
        self,
        project_id: int,
        session_id: str,
        macs: Sequence[bytes],
        now: int,
        pause: Pause,
        toll: Toll | None = None,
        guesses: Guesses | None = None,
        actor: str = "system",
    ) -> Tried | Refused | None:
        guess: tuple[object, ...] = (None, None, None)
        address: tuple[object, ...] = (postgres_limits.KNOWN, b"", 0, postgres_limits.GRAIN)
        if guesses:
            guess = (postgres_limits.GUESSES[guesses.known], numbers(guesses.costs), guesses.window)
            address = (postgres_limits.KNOWN, guesses.address, guesses.known_for, postgres_limits.GRAIN)
        known = guesses is not None and guesses.known
        given = (project_id, session_id, octets(macs), now, pause.first, pause.longest, known, actor)
        [row] = self._run(_TRY, (*given, *counted(toll), *guess, *address))
        outcome, left, sealed, carrier, until, destination, length, era = row
        if outcome is None:
            return None
        if outcome == "paused":
            return Refused("guesses", until, 1)
        if outcome == "over" and toll:
            if destination is not None:
                toll = postgres_limits.with_guesses(toll, guesses, destination, length)
            return postgres_limits.strike(self._connections, toll, now)
        return Tried(outcome == "right", left, sealed, Channel(carrier) if carrier else None, era)

    def is_known(self, destination: bytes, address: bytes, now: int) -> bool:
        return postgres_limits.is_known(self._connections, destination, address, now)

    def pick(
        self, bot_id: int, chat_id: int, session_id: str, right: bool, now: int, pause: Pause
    ) -> Literal["approved", "again", "closed", "joined"] | None:
        picked: Literal["approved", "again", "closed", "joined"] | None = self._run(
            "SELECT pick_1(%s, %s, %s, %s, %s, %s, %s)",
            (bot_id, chat_id, session_id, right, now, pause.first, pause.longest),
        )[0][0]
        return picked

    def deny(self, bot_id: int, chat_id: int, session_id: str, now: int, pause: Pause) -> bool:
        denied: bool = self._run(
            "SELECT deny_1(%s, %s, %s, %s, %s, %s)",
            (bot_id, chat_id, session_id, now, pause.first, pause.longest),
        )[0][0]
        return denied

    def collect(
        self, project_id: int, session_id: str, browser_mac: bytes, now: int, actor: str = "system"
    ) -> Collected | None:
        [(sealed, era)] = self._run(_COLLECT, (project_id, session_id, browser_mac, now, actor))
        return None if sealed is None else Collected(sealed, era)

    def era(self) -> int:
        era: int = self._run("SELECT this_era()")[0][0]
        return era

    def spend(self, session_id: str, era: int, entry: Entry | None = None) -> bool:
        noted: tuple[object, ...] = (0, "", None, None, "", None, "", "")
        if entry:
            noted = msgspec.structs.astuple(entry)[:8]
        spent: bool = self._run(_SPEND, (session_id, era, *noted))[0][0]
        return spent

    def turnout(self, project_id: int, after: int, before: int, most: int) -> tuple[int, int]:
        # By the index on ids alone: the primary key would read all of a project.
        [(begun, used)] = self._run(
            "SELECT count(*), count(*) FILTER (WHERE state IN ('used', 'approved')) FROM"
            " (SELECT state FROM (SELECT id, project_id, state FROM session WHERE id >= %s AND id < %s"
            " ORDER BY id DESC LIMIT %s) AS newest WHERE project_id = %s ORDER BY id DESC LIMIT %s) AS theirs",
            (lowest_ulid(after), lowest_ulid(before), SEARCHED, project_id, most),
        )
        return begun, used

    # Activation

    def activate(self, link: Link, now: int, toll: Toll | None = None) -> tuple[bool, int] | Refused:
        chat = (link.project_id, link.destination, link.bot_id, link.chat_id, link.user_id)
        [(outcome, changed, released)] = self._run(_ACTIVATE, (*chat, now, *counted(toll)))
        if outcome == "over" and toll:
            return postgres_limits.strike(self._connections, toll, now)
        if changed or released:
            self._connections.durably()
        return changed, released

    def reactivate(self, bot_id: int, chat_id: int, now: int) -> int | None:
        released: int | None = self._run("SELECT reactivate_1(%s, %s, %s)", (bot_id, chat_id, now))[0][0]
        if released is not None:
            self._connections.durably()
        return released

    def deactivate(self, bot_id: int, chat_id: int, now: int) -> bool:
        news: bool = self._run("SELECT deactivate_1(%s, %s, %s)", (bot_id, chat_id, now))[0][0]
        return news

    # Delivery

    def deliver(
        self, outcomes: Sequence[Outcome], now: int, lease: int, channels: Sequence[Channel], most: int
    ) -> Round:
        done = _json([_outcome(one) for one in outcomes])
        *claimed, (*_, next_due) = self._run(_DELIVER, (done, now, lease, names(channels), most))
        return Round([_claimed(row[:-1]) for row in claimed], next_due)

    def put_right(self, now: int, longest: int) -> int:
        return int(self._run("SELECT put_right_1(%s, %s, %s)", (now, longest, lowest_ulid(now + AHEAD)))[0][0])

    def report(
        self,
        channel: Channel,
        reference: str,
        state: Literal["delivered", "failed"],
        error: str,
        instead: Sequence[Channel],
        now: int,
        ceilings: Mapping[Channel, Limit] | None = None,
    ) -> bool:
        order = (names(instead), postgres_limits.as_json(ceilings or {}), now)
        news: bool = self._run(
            "SELECT report_1(%s, %s, %s, %s, %s, %s, %s)", (channel.value, reference, state, error, *order)
        )[0][0]
        return news

    def carried(self, channel: Channel, reference: str) -> Carried | None:
        rows = self._run(
            "SELECT s.project_id, s.id, s.sealed FROM message m JOIN session s ON s.id = m.session_id"
            " WHERE m.reference = %s AND m.reference <> '' AND m.channel = %s",
            (reference, channel.value),
        )
        return Carried(*rows[0]) if rows else None

    def ended_sends(self, session_id: str) -> list[EndedSend]:
        rows = self._run(
            # Of a session that one tap approved, the code was not entered, and is forgotten.
            "SELECT m.channel, m.reference, s.id, s.project_id,"
            " CASE WHEN s.code_mac = '' THEN 'closed' ELSE s.state END, s.sealed, s.code_length, s.own_code"
            " FROM session s JOIN message m ON m.session_id = s.id"
            " WHERE s.id = %s AND s.state IN ('used', 'closed') AND m.reference <> '' ORDER BY m.id",
            (session_id,),
        )
        return [EndedSend(Channel(channel), *more) for channel, *more in rows]

    def backlog(self) -> list[Waiting]:
        rows = self._run(
            "SELECT channel, count(*), min(created_at) FROM message WHERE state IN ('queued', 'sending')"
            " GROUP BY channel"
        )
        return [Waiting(Channel(channel), *more) for channel, *more in rows]

    # A server's own messages

    def add_manual(self, new: NewManual, toll: Toll | None = None) -> Ordered:
        added = postgres_manual.add(self._connections, new, counted(toll))
        if added is None and toll:
            return postgres_limits.strike(self._connections, toll, new.now)
        assert added is not None, "only a toll can be over"  # noqa: S101
        return added

    def manual(self, project_id: int, message_id: int) -> ManualRow | None:
        return postgres_manual.find(self._connections, project_id, message_id)

    def claim_callbacks(self, now: int, lease: int, most: int) -> list[Callback]:
        return postgres_manual.claim_callbacks(self._connections, now, lease, most)

    def finish_callback(self, message_id: int, due_at: int | None, *, tried: bool = True) -> None:
        if due_at is None:
            self._run("DELETE FROM callback WHERE message_id = %s", (message_id,))
        else:
            again = "UPDATE callback SET due_at = %s, attempts = attempts - %s WHERE message_id = %s"
            self._run(again, (due_at, 0 if tried else 1, message_id))

    def next_callback(self) -> int | None:
        due: int | None = self._run("SELECT min(due_at) FROM callback")[0][0]
        return due

    # The bill

    def turnouts(self, after: int, before: int, most: int, channels: Sequence[Channel]) -> list[Turnout]:
        window = (lowest_ulid(after), lowest_ulid(before), most)
        return postgres_guard.turnouts(self._connections, *window, channels)

    def stops(self) -> list[Stop]:
        return postgres_guard.stops(self._connections)

    def stop(self, new: Stop, entry: Entry) -> bool:
        return postgres_guard.stop(self._connections, new, entry)

    def lift(self, project_id: int, prefix: str, now: int, calm_until: int, entry: Entry) -> bool:
        return postgres_guard.lift(self._connections, project_id, prefix, now, calm_until, entry)

    def full(self, ceilings: Sequence[Limit], now: int) -> list[Limit]:
        return postgres_guard.full(self._connections, ceilings, now)

    def tell_full(self, ceiling: Limit, entry: Entry) -> bool:
        return postgres_guard.tell_full(self._connections, ceiling, entry)

    # Events, what processes share, purge

    def last_event(self) -> int:
        number: int = self._run("SELECT coalesce(max(number), 0) FROM event")[0][0]
        return number

    def events_since(self, number: int, most: int, missing: Sequence[int] = ()) -> list[tuple[int, str]]:
        return self._run(_EVENTS, (number, numbers(missing), most))

    def hold(self, name: str, holder: str, now: int, lease: int) -> bool:
        return postgres_many.hold(self._connections, name, holder, now, lease)

    def let_go(self, name: str, holder: str) -> None:
        postgres_many.let_go(self._connections, name, holder)

    def take_update(self, bot_id: int, update_id: int, now: int, lease: int) -> Taken:
        return postgres_many.take_update(self._connections, bot_id, update_id, now, lease)

    def end_update(self, bot_id: int, update_id: int, handled: bool) -> None:
        postgres_many.end_update(self._connections, bot_id, update_id, handled)

    def expect(self, bot_id: int, chat_id: int, expected: Expected | None) -> None:
        postgres_many.expect(self._connections, bot_id, chat_id, expected)

    def expected(self, bot_id: int, chat_id: int) -> Expected | None:
        return postgres_many.expected(self._connections, bot_id, chat_id)

    def forget(self, project_id: int, destination: bytes, by: By) -> dict[str, int]:
        theirs = {"project": project_id, "destination": destination}
        with unhurried(self._url) as db:
            sessions = db.execute(_named(forgetting.SESSIONS), theirs).fetchall()
            db.execute("SELECT hold_destination(%s, %s)", (project_id, destination))
            gone = forgetting.delete(
                lambda sql, values: db.execute(_named(sql), values).rowcount,
                theirs,
                destination,
                (session for (session,) in sessions),
            )
            postgres_audit.write(db, Entry(by.now, by.actor, "person.forget", project_id))
        return gone

    def purge(self, before: int, most: int, settled: int | None = None) -> int:
        settled = before if settled is None else min(settled, before)
        bounds = (lowest_ulid(before), before, lowest_ulid(settled), settled, most)
        [(gone,)] = self._run("SELECT purge_2(%s, %s, %s, %s, %s)", bounds)
        used, self._purged_to = postgres_limits.purge(self._connections, self._purged_to, settled, most)
        return int(gone + used)

    def purge_ahead(self, after: int, most: int) -> int:
        return int(self._run("SELECT purge_ahead_1(%s, %s, %s)", (lowest_ulid(after), after, most))[0][0])

    # Audit

    def note(self, entries: Sequence[Entry]) -> None:
        postgres_audit.write_all(self._connections, entries)

    def audit(self, wanted: Wanted) -> list[Entry]:
        with unhurried(self._url) as db:
            return postgres_audit.read(db, wanted)

    def purge_audit(self, before: int, rows: int, most: int, ahead: int) -> int:
        return sum(
            self._run("SELECT purge_audit_2(%s, %s, %s, %s, %s)", (lasting, before, rows, most, ahead))[0][0]
            for lasting in (False, True)
        )

    def checkpoint(self) -> None:
        """The server does it."""

    def watch(self) -> PostgresWatch:
        return PostgresWatch(self._listen_url, self._connections)


# Projects


def _add_project(db: Any, settings: ProjectSettings, by: By) -> int:
    text = msgspec.json.encode(settings).decode()
    number: int = db.execute(
        "INSERT INTO project (settings, created_at) VALUES (%s, %s) RETURNING id", (text, by.now)
    ).fetchone()[0]
    postgres_audit.write(db, Entry(by.now, by.actor, "project.create", number))
    return number


def _note_keys(db: Any, project_id: int, old_until: int, by: By | None) -> None:
    by = by or By("system", system_clock())
    end = f"the old ones end at {to_iso(max(old_until, by.now))}"
    postgres_audit.write(db, Entry(by.now, by.actor, "project.keys", project_id, detail=end))


def _set_keys(db: Any, project_id: int, public: bytes, secret: bytes, code_key: bytes, old_until: int) -> None:
    _end_old_keys(db, project_id)
    taken = db.execute(
        "SELECT 1 FROM api_key WHERE hash = %(public)s AND (project_id <> %(project)s OR secret)"
        " OR hash = %(secret)s AND (project_id <> %(project)s OR NOT secret)",
        {"public": public, "secret": secret, "project": project_id},
    ).fetchone()
    if taken or public == secret:
        raise StoreError("one of these API keys is already in use")
    replaced = "UPDATE api_key SET expires_at = %s WHERE project_id = %s AND hash NOT IN (%s, %s)"
    db.execute(replaced, (old_until, project_id, public, secret))
    added = "INSERT INTO api_key VALUES (%s, %s, %s, %s, NULL) ON CONFLICT DO NOTHING"
    db.execute(added, (public, project_id, False, None))
    db.execute(added, (secret, project_id, True, code_key))


def _end_old_keys(db: Any, project_id: int) -> None:
    db.execute("DELETE FROM api_key WHERE project_id = %s AND expires_at IS NOT NULL", (project_id,))


@cache
def _settings(text: str) -> ProjectSettings:
    return msgspec.json.decode(text, type=ProjectSettings)


# Values and rows


def _named(sql: str) -> str:
    """With `:name` as psycopg writes it."""
    return re.sub(r":(\w+)", r"%(\1)s", sql)


def _new(new: NewSession) -> tuple[object, ...]:
    return (
        new.id,
        new.project_id,
        new.destination,
        new.sealed,
        new.code_mac,
        new.code_length,
        new.kind,
        new.lang,
        new.browser,
        new.attempts,
        new.now,
        new.expires_at,
        new.browser_mac,
        new.place,
        new.actor,
        new.prefix,
    )


def _ordered(order: Order | None, proved: bool) -> tuple[object, ...]:
    if order is None:
        return _NO_ORDER
    wanted = order.wanted.value if order.wanted else None
    how = (order.cooldown, order.most_used, order.hold, order.parks, order.discreet)
    ceilings: tuple[object, ...] = (None, None, None, None)
    if order.ceilings:
        most = [one.window if proved else one.soft for one in order.ceilings.values()]
        costs = [one.cost for one in order.ceilings.values()]
        keys = [one.key for one in order.ceilings.values()]
        ceilings = (names(tuple(order.ceilings)), octets(keys), numbers(costs), numbers(most))
    return (True, names(order.allowed), wanted, order.default.value, *how, *ceilings)


def _session(found: str) -> SessionRow:
    """A row as `session_1` writes it, with all sends; of each channel the newest counts."""
    row = msgspec.json.decode(found, type=SessionRow)
    newest = {send.channel: send for send in row.sends}
    return row if len(newest) == len(row.sends) else msgspec.structs.replace(row, sends=tuple(newest.values()))


def _claimed(row: Sequence[Any]) -> Claimed:
    fields: list[Any] = [*row[:3], Channel(row[3]), *row[4:]]
    return Claimed(*fields)


def _outcome(outcome: Outcome) -> dict[str, object]:
    plain: dict[str, object] = msgspec.structs.asdict(outcome)
    return {**plain, "ceilings": msgspec.Raw(postgres_limits.as_json(outcome.ceilings).encode())}


def _json(value: object) -> str:
    """JSON without NUL, which PostgreSQL can't store."""
    return msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")
