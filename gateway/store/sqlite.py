"""The store on SQLite: one file, WAL, plain SQL, one connection a thread (sqlite_connections.py).

Commits are `synchronous=NORMAL`: nothing is lost when a process dies, but a power loss can take the last commits,
a "used" among them; so sessions from before the machine's boot are void. Activations commit with `FULL`.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import msgspec

from gateway.channels import Channel
from gateway.clock import AHEAD, Clock, machine_booted_at
from gateway.ids import lowest_ulid, made_at
from gateway.projects import Project, ProjectSettings
from gateway.store import (
    SEARCHED,
    ApiKey,
    Busy,
    Callback,
    Carried,
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
    SessionRow,
    Stop,
    StoreError,
    Taken,
    Toll,
    Tried,
    Turnout,
    Waiting,
    forgetting,
    sqlite_activation,
    sqlite_ahead,
    sqlite_audit,
    sqlite_codes,
    sqlite_delivery,
    sqlite_events,
    sqlite_fallback,
    sqlite_guard,
    sqlite_limits,
    sqlite_manual,
    sqlite_many,
    sqlite_projects,
    sqlite_sending,
    sqlite_sessions,
    sqlite_tap,
)
from gateway.store.entries import By, Entry, Wanted
from gateway.store.sqlite_connections import Connection, Together, Writing, connect, create, in_turn

MIGRATIONS = Path(__file__).parent / "migrations" / "sqlite"
EXPANDS = ".expands"  # ends the name of a migration beside which code from before goes on
RESTART_PAGES = 4_000  # a log of 16 MiB is begun anew, for which writers wait a few milliseconds
HAND_OVER_PAUSE = 0.005  # seconds in which others who wait to write come before the next chats
WATCH_EVERY = 0.010  # seconds between two looks at data_version: what a waiting message may cost

P = ParamSpec("P")
T = TypeVar("T")


def _under_limits(
    verb: Callable[Concatenate["SqliteStore", P], T],
) -> Callable[Concatenate["SqliteStore", P], T | Refused]:
    """What goes over a limit has been rolled back by then; its block begins in a transaction of its own."""

    @wraps(verb)
    def counted(store: "SqliteStore", /, *args: P.args, **options: P.kwargs) -> T | Refused:
        try:
            return verb(store, *args, **options)
        except sqlite_limits.Over as over:
            with Writing(store._connection) as db:
                return sqlite_limits.strike(db, over.toll, over.now)

    return counted


class SqliteStore:
    """`Store` on one SQLite file. Safe to share between threads: each has its own connection."""

    def __init__(self, path: str, booted_at: Clock = machine_booted_at) -> None:
        self._path = Path(path)
        self._local = threading.local()
        self._booted_at = booted_at
        self._purged_to = b""

    @property
    def void_before(self) -> int:
        """Sessions and tokens from before then don't count."""
        return self._booted_at()

    @void_before.setter
    def void_before(self, at: int) -> None:
        self._booted_at = lambda: at

    # Schema

    def migrate(self) -> int:
        if not self._path.exists():
            create(self._path)
        with Writing(self._connection) as db:
            db.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL)")
            todo = self._to_run(db)
            for number, file in todo.items():
                for statement in _statements(file.read_text(encoding="utf-8")):
                    db.execute(statement)
                db.execute("INSERT INTO migration VALUES (?, ?)", (number, file.stem))
        return len(todo)

    def behind(self) -> int:
        there = self._read("SELECT 1 FROM sqlite_schema WHERE name = 'migration'")
        return len(self._look(self._to_run) if there else _migrations())

    def _to_run(self, db: sqlite3.Connection) -> dict[int, Path]:
        done, files = dict(db.execute("SELECT number, name FROM migration")), _migrations()
        if unknown := {number for number in done if number not in files and not done[number].endswith(EXPANDS)}:
            raise StoreError(
                f"{self._path} was written by a newer Kodgate (migration {max(unknown)}): "
                "start that version, or restore an older copy"
            )
        return {number: file for number, file in files.items() if number not in done}

    def close(self) -> None:
        if connection := getattr(self._local, "connection", None):
            connection.close()
            del self._local.connection

    def ping(self) -> None:
        with Writing(self._connection) as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('ping', randomblob(8))")

    # Small things

    def keep(self, name: str, value: bytes) -> bytes:
        with Writing(self._connection) as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
            kept: bytes = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0]
        return kept

    def replace(self, name: str, value: bytes) -> None:
        with Writing(self._connection) as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def projects(self) -> list[Project]:
        rows = self._read("SELECT id, settings FROM project ORDER BY id")
        return [Project(key, sqlite_projects.read_settings(text)) for key, text in rows]

    def api_keys(self) -> list[ApiKey]:
        rows = self._read("SELECT hash, project_id, secret, code_key, expires_at FROM api_key")
        return [ApiKey(digest, project, bool(secret), *more) for digest, project, secret, *more in rows]

    def add_project(self, settings: ProjectSettings, now: int, by: By | None = None) -> Project:
        with Writing(self._connection) as db:
            return Project(sqlite_projects.add(db, settings, by or By("system", now)), settings)

    def change_project(self, project_id: int, settings: ProjectSettings, by: By | None = None) -> None:
        text = msgspec.json.encode(settings).decode()
        before = self._settings_of(project_id)
        other_bot = before is not None and before.bot_id != settings.bot_id
        if other_bot:
            self._hand_over(project_id, settings.bot_id)
        with Writing(self._connection) as db:
            if other_bot and self._settings_of(project_id) not in (before, settings):
                raise Busy("the project was changed meanwhile")
            sqlite_projects.note_changes(db, project_id, settings, by)
            db.execute("UPDATE project SET settings = ? WHERE id = ?", (text, project_id))
        if other_bot:
            self._hand_over(project_id, settings.bot_id)  # who was linked to the former bot meanwhile

    def _settings_of(self, project_id: int) -> ProjectSettings | None:
        rows = self._read("SELECT settings FROM project WHERE id = ?", project_id)
        return sqlite_projects.read_settings(rows[0][0]) if rows else None

    def _hand_over(self, project_id: int, bot_id: int) -> None:
        after: bytes | None = b""
        while after is not None:
            with Writing(self._connection) as db:
                after = sqlite_activation.hand_over(db, project_id, bot_id, after)
            time.sleep(HAND_OVER_PAUSE)

    def ensure_first_project(
        self,
        settings: ProjectSettings,
        public: bytes,
        secret: bytes,
        code_key: bytes,
        now: int,
        old_until: int = 0,
    ) -> None:
        with Writing(self._connection) as db:
            first = db.execute("SELECT min(id) FROM project").fetchone()[0]
            if first is None:
                first = sqlite_projects.add(db, settings, By("system", now))
            current = "SELECT hash FROM api_key WHERE project_id = ? AND expires_at IS NULL"
            if {digest for (digest,) in db.execute(current, (first,))} != {public, secret}:
                sqlite_projects.set_keys(db, first, public, secret, code_key, old_until)
                sqlite_projects.note_keys(db, first, old_until, By("system", now))
            elif old_until <= now:
                sqlite_projects.end_old_keys(db, first)

    def set_keys(
        self,
        project_id: int,
        public: bytes,
        secret: bytes,
        code_key: bytes,
        old_until: int,
        by: By | None = None,
    ) -> None:
        with Writing(self._connection) as db:
            sqlite_projects.set_keys(db, project_id, public, secret, code_key, old_until)
            sqlite_projects.note_keys(db, project_id, old_until, by)

    def reseal_key(self, digest: bytes, code_key: bytes) -> None:
        with Writing(self._connection) as db:
            db.execute("UPDATE api_key SET code_key = ? WHERE hash = ?", (code_key, digest))

    # Sessions

    @_under_limits
    def open_session(
        self,
        new: NewSession,
        order: Order | None,
        toll: Toll | None = None,
        guesses: Guesses | None = None,
    ) -> Opened | Paused:
        known = guesses is not None and guesses.known
        with Writing(self._connection) as db:
            guessed = sqlite_limits.guess_key(guesses, new.destination) if guesses else None
            old, habits, used = sqlite_sessions.last_of(db, new, guessed)
            if guesses:
                left_at = sqlite_limits.guesses_left_at(used, guesses, new.code_length)
                if left_at > new.now:
                    return Paused(left_at)
            if not known and old.paused_until > new.now and old.created_at <= new.now + AHEAD:
                return Paused(old.paused_until)
            counts = True
            if old.lives(new.now, self.void_before):
                counts = False
                if old.browser_mac and old.browser_mac != new.browser_mac and not old.joined:
                    # The first browser's number is worth nothing from now on.
                    db.execute("UPDATE session SET joined = 1 WHERE id = ?", (old.id,))
                    sqlite_events.announce(db, old.id, new.now)
                    sqlite_audit.write(db, new.now, new.actor, "session.join", new.project_id, old.id)
                session = sqlite_sessions.read(db, old.id)
            else:
                sqlite_sessions.insert(db, new)
                session = new.as_row(habits.chat_id, habits.active, habits.last_channel)
            sent_to = None
            if order:
                sent_to = sqlite_sending.choose(db, order, session)
                if not order.hold:
                    session, outcome = sqlite_sending.queue(
                        db, session, sent_to, new.now, order.cooldown, None, order.parks, order.discreet
                    )
                    counts = counts or outcome in sqlite_sending.SENT
                    if outcome in sqlite_sending.SENT and toll and not sqlite_sending.is_free(session, sent_to):
                        toll = toll.plus(order.ceilings.get(sent_to))
            if counts:
                sqlite_limits.charge(db, toll, new.now)
        return Opened(session, sent_to)

    def session(self, project_id: int | None, session_id: str) -> SessionRow | None:
        row = self.sessions((session_id,)).get(session_id)
        return row if row and project_id in (None, row.project_id) else None

    def sessions(self, session_ids: Sequence[str]) -> dict[str, SessionRow]:
        found = self._look(lambda db: [sqlite_sessions.find(db, session_id) for session_id in session_ids])
        return {row.id: row for row in found if row and row.created_at >= self.void_before}

    @_under_limits
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
    ) -> Queued | None:
        with Writing(self._connection) as db:
            session = sqlite_sessions.find(db, session_id)
            if session is None or session.project_id != project_id or session.created_at < self.void_before:
                return None
            if session.state != "live" or session.is_over(now):
                return None
            session, outcome = sqlite_sending.queue(db, session, channel, now, cooldown, own, parks)
            if outcome in sqlite_sending.SENT:
                sqlite_limits.charge(db, toll, now)
                detail = f"{channel}: {outcome}"
                sqlite_audit.write(db, now, actor, "session.send", project_id, session_id, detail=detail)
        return Queued(session, outcome)

    def set_code(self, project_id: int, session_id: str, own: OwnCode, now: int) -> bool:
        with Writing(self._connection) as db:
            alive = f"{sqlite_sending.OWN_CODE} AND project_id = ? AND state = 'live' AND expires_at > ?"
            alive += " AND created_at BETWEEN ? AND ?"
            life = (now, self.void_before, now + AHEAD)
            values = (own.mac, own.sealed, own.length, session_id, project_id, *life)
            return db.execute(alive, values).rowcount == 1

    @_under_limits
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
        known = guesses is not None and guesses.known
        with Writing(self._connection) as db:
            session = sqlite_codes.candidate(db, project_id, session_id, now, self.void_before)
            if session is None or (session.paused_until > now and not known):
                sqlite_limits.charge(db, toll, now)
                return Refused("guesses", session.paused_until, 1) if session else None
            wrong = sqlite_limits.with_guesses(toll, guesses, session.destination, session.code_length)
            counted = sqlite_limits.look(db, wrong, now)  # right or wrong, lest the time that it takes tells which
            became = sqlite_codes.compared(session, macs, now, pause)
            sqlite_codes.write(db, became, project_id, session.destination)
            state, attempts_left, *_ = became
            right = state == "used"
            channel = Channel(session.channel) if session.channel and right else None
            if right:
                sqlite_limits.note_known(db, guesses, session.destination, now)
            else:
                sqlite_limits.count(db, counted)
            if channel:
                sqlite_sessions.note_habit(db, project_id, session.destination, channel, now)
            if state != "live":
                sqlite_events.announce(db, session_id, now)
            reason, detail = ("", channel or "") if right else ("WrongCode", f"{attempts_left} left")
            sqlite_audit.write(db, now, actor, "session.check", project_id, session_id, None, reason, detail)
        return Tried(right, attempts_left, session.sealed, channel)

    def is_known(self, destination: bytes, address: bytes, now: int) -> bool:
        return self._look(lambda db: sqlite_limits.is_known(db, destination, address, now))

    def pick(
        self, bot_id: int, chat_id: int, session_id: str, right: bool, now: int, pause: Pause
    ) -> Literal["approved", "again", "closed", "joined"] | None:
        with Writing(self._connection) as db:
            press = sqlite_tap.values(bot_id, chat_id, session_id, now, self.void_before, pause)
            picked = sqlite_tap.pick(db, press, right)
            if not isinstance(picked, tuple):
                return picked
            state, project_id, destination = picked
            if state == "approved":
                sqlite_sessions.note_habit(db, project_id, destination, Channel.TELEGRAM, now)
            sqlite_events.announce(db, session_id, now)
            reason = "" if state == "approved" else "WrongNumber"
            sqlite_audit.write(db, now, "telegram", "tap.pick", project_id, session_id, reason=reason)
        return state

    def deny(self, bot_id: int, chat_id: int, session_id: str, now: int, pause: Pause) -> bool:
        with Writing(self._connection) as db:
            press = sqlite_tap.values(bot_id, chat_id, session_id, now, self.void_before, pause)
            project_id = sqlite_tap.deny(db, press)
            if project_id is not None:
                sqlite_events.announce(db, session_id, now)
                sqlite_audit.write(db, now, "telegram", "tap.deny", project_id, session_id)
        return project_id is not None

    def collect(
        self, project_id: int, session_id: str, browser_mac: bytes, now: int, actor: str = "system"
    ) -> Collected | None:
        with Writing(self._connection) as db:
            sealed = sqlite_tap.collect(db, project_id, session_id, browser_mac, now, self.void_before)
            if sealed is not None:
                sqlite_events.announce(db, session_id, now)
                sqlite_audit.write(db, now, actor, "session.collect", project_id, session_id)
        return None if sealed is None else Collected(sealed)

    def era(self) -> int:
        """Always the same: what is spent says itself when it was made, and the machine when it booted."""
        return 0

    def spend(self, session_id: str, era: int, entry: Entry | None = None) -> bool:
        if era != self.era() or made_at(session_id) < self.void_before:
            return False
        with Writing(self._connection) as db:
            spent = db.execute("INSERT OR IGNORE INTO spent VALUES (?)", (session_id,)).rowcount == 1
            if spent and entry:
                sqlite_audit.write_all(db, [entry])
        return spent

    def turnout(self, project_id: int, after: int, before: int, most: int) -> tuple[int, int]:
        # By the index on ids alone, which has the primary key in it: that itself would read all of a project, and
        # others' rows cost forty times as much as their keys. Another ORDER BY would sort what comes in order.
        [(begun, used)] = self._read(
            "SELECT count(*), coalesce(sum(state IN ('used', 'approved')), 0) FROM"
            " (SELECT * FROM (SELECT project_id, destination FROM session INDEXED BY session_id"
            " WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?) WHERE project_id = ? LIMIT ?) AS newest"
            " CROSS JOIN session USING (project_id, destination)",
            lowest_ulid(after),
            lowest_ulid(before),
            SEARCHED,
            project_id,
            most,
        )
        return begun, used

    # Activation

    @_under_limits
    def activate(self, link: Link, now: int, toll: Toll | None = None) -> tuple[bool, int]:
        with self._durably() as db:
            changed, released = sqlite_activation.activate(db, link, now)
            if changed:
                sqlite_limits.charge(db, toll, now)
        return changed, released

    def reactivate(self, bot_id: int, chat_id: int, now: int) -> int | None:
        with self._durably() as db:
            links = db.execute(
                "SELECT project_id, destination, bot_id, chat_id, user_id FROM activation"
                " WHERE bot_id = ? AND chat_id = ?",
                (bot_id, chat_id),
            ).fetchall()
            released = sum(sqlite_activation.activate(db, Link(*link), now)[1] for link in links)
        return released if links else None

    def deactivate(self, bot_id: int, chat_id: int, now: int) -> bool:
        with Writing(self._connection) as db:
            rows = db.execute(
                "UPDATE activation SET active = 0, changed_at = ? WHERE bot_id = ? AND chat_id = ? AND active = 1"
                " RETURNING project_id, destination",
                (now, bot_id, chat_id),
            ).fetchall()
            for project_id, destination in rows:
                sqlite_events.announce_destination(db, project_id, destination, now)
                sqlite_audit.write(db, now, "telegram", "bot.stop", project_id, destination=destination)
        return bool(rows)

    # Delivery

    def deliver(
        self, outcomes: Sequence[Outcome], now: int, lease: int, channels: Sequence[Channel], most: int
    ) -> Round:
        if not outcomes:  # a look that takes no lock: most wake-ups are for others
            next_due = self._look(lambda db: sqlite_delivery.soonest(db, channels))
            if next_due is None or next_due > now or not most:
                return Round([], next_due)
        with Writing(self._connection) as db:
            for outcome in outcomes:
                sqlite_delivery.finish(db, outcome, now)
            claimed = sqlite_delivery.claim(db, self.void_before, now, lease, channels, most)
            return Round(claimed, sqlite_delivery.soonest(db, channels))

    def put_right(self, now: int, longest: int) -> int:
        with Writing(self._connection) as db:
            late = now + longest
            over = db.execute(
                "UPDATE message SET state = 'failed', error = 'the clock was put back', finished_at = ?"
                " WHERE state IN ('parked', 'queued', 'sending') AND session_id > ?"
                " AND session_id NOT IN (SELECT id FROM manual)",
                (now, lowest_ulid(now + AHEAD)),
            ).rowcount
            for table, waiting in (("message", "state IN ('queued', 'sending') AND"), ("callback", "")):
                over += db.execute(
                    f"UPDATE {table} SET due_at = ? WHERE {waiting} due_at > ?",  # noqa: S608 - our own names
                    (late, late),
                ).rowcount
            for table in ("lease", "taken_update"):
                over += db.execute(
                    f"UPDATE {table} SET until = ? WHERE until > ?",  # noqa: S608 - our own names
                    (now, late),
                ).rowcount
        return over

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
        with Writing(self._connection) as db:
            return sqlite_fallback.report(db, channel, reference, state, error, instead, ceilings or {}, now)

    def carried(self, channel: Channel, reference: str) -> Carried | None:
        return self._look(lambda db: sqlite_fallback.carried(db, channel, reference))

    def ended_sends(self, session_id: str) -> list[EndedSend]:
        rows = self._read(
            # Of a session that one tap approved, the code was not entered, and is forgotten.
            "SELECT m.channel, m.reference, s.id, s.project_id, iif(s.code_mac = x'', 'closed', s.state),"
            " s.sealed, s.code_length, s.own_code FROM session s JOIN message m ON m.session_id = s.id"
            " WHERE s.id = ? AND s.state IN ('used', 'closed') AND m.reference <> ''",
            session_id,
        )
        return [EndedSend(Channel(channel), *more) for channel, *more in rows]

    def backlog(self) -> list[Waiting]:
        rows = self._read(
            "SELECT channel, count(*), min(created_at) FROM message INDEXED BY message_due"
            " WHERE state IN ('queued', 'sending') GROUP BY channel"
        )
        return [Waiting(Channel(channel), *more) for channel, *more in rows]

    # A server's own messages

    @_under_limits
    def add_manual(self, new: NewManual, toll: Toll | None = None) -> Ordered:
        with Writing(self._connection) as db:
            ordered = sqlite_manual.add(db, new)
            if isinstance(ordered, ManualRow) and ordered.id == new.id:
                sqlite_limits.charge(db, toll, new.now)
                sqlite_audit.write(
                    db,
                    new.now,
                    "secret key",
                    "manual.send",
                    new.project_id,
                    destination=new.destination,
                    detail=f"{new.channel}: message {ordered.message_id}",
                )
        return ordered

    def manual(self, project_id: int, message_id: int) -> ManualRow | None:
        return self._look(lambda db: sqlite_manual.find(db, project_id, message_id))

    def claim_callbacks(self, now: int, lease: int, most: int) -> list[Callback]:
        with Writing(self._connection) as db:
            return sqlite_manual.claim_callbacks(db, now, lease, most)

    def finish_callback(self, message_id: int, due_at: int | None, *, tried: bool = True) -> None:
        with Writing(self._connection) as db:
            sqlite_manual.finish_callback(db, message_id, due_at, tried)

    def next_callback(self) -> int | None:
        due: int | None = self._read("SELECT min(due_at) FROM callback")[0][0]
        return due

    # The bill

    def turnouts(self, after: int, before: int, most: int, channels: Sequence[Channel]) -> list[Turnout]:
        return self._look(
            lambda db: sqlite_guard.turnouts(db, lowest_ulid(after), lowest_ulid(before), most, channels)
        )

    def stops(self) -> list[Stop]:
        return self._look(lambda db: sqlite_guard.stops(db))

    def stop(self, new: Stop, entry: Entry) -> bool:
        with Writing(self._connection) as db:
            return sqlite_guard.stop(db, new, entry)

    def lift(self, project_id: int, prefix: str, now: int, calm_until: int, entry: Entry) -> bool:
        with Writing(self._connection) as db:
            return sqlite_guard.lift(db, project_id, prefix, now, calm_until, entry)

    def full(self, ceilings: Sequence[Limit], now: int) -> list[Limit]:
        return self._look(lambda db: sqlite_guard.full(db, ceilings, now))

    def tell_full(self, ceiling: Limit, entry: Entry) -> bool:
        with Writing(self._connection) as db:
            return sqlite_guard.tell_full(db, ceiling, entry)

    # Events, what processes share, purge

    def last_event(self) -> int:
        number: int = self._read("SELECT coalesce(max(number), 0) FROM event")[0][0]
        return number

    def events_since(self, number: int, most: int, missing: Sequence[int] = ()) -> list[tuple[int, str]]:
        return self._look(lambda db: sqlite_events.since(db, number, most, missing))

    def hold(self, name: str, holder: str, now: int, lease: int) -> bool:
        with Writing(self._connection) as db:
            return sqlite_many.hold(db, name, holder, now, lease)

    def let_go(self, name: str, holder: str) -> None:
        with Writing(self._connection) as db:
            sqlite_many.let_go(db, name, holder)

    def take_update(self, bot_id: int, update_id: int, now: int, lease: int) -> Taken:
        with Writing(self._connection) as db:
            return sqlite_many.take_update(db, bot_id, update_id, now, lease)

    def end_update(self, bot_id: int, update_id: int, handled: bool) -> None:
        with Writing(self._connection) as db:
            sqlite_many.end_update(db, bot_id, update_id, handled)

    def expect(self, bot_id: int, chat_id: int, expected: Expected | None) -> None:
        with Writing(self._connection) as db:
            sqlite_many.expect(db, bot_id, chat_id, expected)

    def expected(self, bot_id: int, chat_id: int) -> Expected | None:
        return self._look(lambda db: sqlite_many.expected(db, bot_id, chat_id))

    def forget(self, project_id: int, destination: bytes, by: By) -> dict[str, int]:
        theirs = {"project": project_id, "destination": destination}
        sessions = self._look(lambda db: db.execute(forgetting.SESSIONS, theirs).fetchall())
        self._connection.execute("PRAGMA secure_delete=ON")  # what was deleted stays in no page of the file
        try:
            with self._durably() as db:
                gone = forgetting.delete(
                    lambda sql, values: db.execute(sql, values).rowcount,
                    theirs,
                    destination,
                    (session for (session,) in sessions),
                )
                sqlite_audit.write(db, by.now, by.actor, "person.forget", project_id)
        finally:
            self._connection.execute("PRAGMA secure_delete=OFF")
        return gone

    def purge(self, before: int, most: int, settled: int | None = None) -> int:
        settled = before if settled is None else min(settled, before)
        oldest, over = lowest_ulid(before), lowest_ulid(settled)
        gone = 0
        with Writing(self._connection) as db:
            for table, key, end in (
                ("session", "id", oldest),
                ("message", "session_id", oldest),
                ("spent", "session_id", over),
            ):
                gone += db.execute(
                    f"DELETE FROM {table} WHERE {key} IN"  # noqa: S608 - our own names
                    f" (SELECT {key} FROM {table} WHERE {key} < ? ORDER BY {key} LIMIT ?)",
                    (end, most),
                ).rowcount
            gone += sqlite_manual.purge(db, oldest, most)
            gone += sqlite_many.purge(db, oldest, before, most)
            used, self._purged_to = sqlite_limits.purge(db, self._purged_to, settled, most)
            gone += used
            gone += sqlite_fallback.purge(db, before, most)
            gone += sqlite_guard.purge(db, settled)
            gone += db.execute(
                "DELETE FROM event WHERE number IN (SELECT number FROM"
                " (SELECT number, at FROM event ORDER BY number LIMIT ?) WHERE at < ?)"
                " AND number < (SELECT max(number) FROM event)",
                (most, before),
            ).rowcount
        return gone

    def purge_ahead(self, after: int, most: int) -> int:
        with Writing(self._connection) as db:
            return sqlite_ahead.purge(db, lowest_ulid(after), after, most)

    # Audit

    def note(self, entries: Sequence[Entry]) -> None:
        with Writing(self._connection) as db:
            sqlite_audit.write_all(db, entries)

    def audit(self, wanted: Wanted) -> list[Entry]:
        return self._look(lambda db: sqlite_audit.read(db, wanted))

    def purge_audit(self, before: int, rows: int, most: int, ahead: int) -> int:
        with Writing(self._connection) as db:
            return sqlite_audit.purge(db, before, rows, most, ahead)

    def checkpoint(self) -> None:
        """What is written meanwhile is moved by the second turn: the last, for which writers wait, is short."""
        for mode in ("PASSIVE", "PASSIVE", "RESTART"):
            busy, pages, moved = self._read(f"PRAGMA wal_checkpoint({mode})")[0]
            if busy or pages < RESTART_PAGES or moved == pages:
                return

    def together(self) -> "Together":
        return Together(self._connection)

    async def aside(self, act: Callable[[], T]) -> T:
        return act()

    def watch(self) -> "SqliteWatch":
        return SqliteWatch(connect(self._path))

    # Connections

    @property
    def _connection(self) -> Connection:
        try:
            connection: Connection = self._local.connection
        except AttributeError:
            connection = connect(self._path)
            connection.execute("PRAGMA busy_timeout=0")  # who has to wait does so in in_turn
            self._local.connection = connection
        return connection

    @contextmanager
    def _durably(self) -> Iterator[sqlite3.Connection]:
        """A write transaction that even a power loss does not take back; it shares no commit."""
        db = self._connection
        if db.together:
            raise RuntimeError("SQLite takes no other PRAGMA synchronous within a transaction")
        db.execute("PRAGMA synchronous=FULL")
        try:
            with Writing(db):
                yield db
        finally:
            db.execute("PRAGMA synchronous=NORMAL")

    def _read(self, sql: str, *values: object) -> list[Any]:
        return self._look(lambda db: db.execute(sql, values).fetchall())

    def _look(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        """What is read so. It waits for nobody but one who mends the log after a crash. Raises `Busy`."""
        try:
            return ask(self._connection)
        except sqlite3.OperationalError as problem:
            return in_turn(lambda: ask(self._connection), problem)


class SqliteWatch:
    """Watches `PRAGMA data_version`, which moves when any other connection has committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seen = self._version()

    async def changed(self, timeout: float) -> bool:
        end = asyncio.get_running_loop().time() + timeout
        while (version := self._version()) == self._seen:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            await asyncio.sleep(min(WATCH_EVERY, left))
        self._seen = version
        return True

    def close(self) -> None:
        self._connection.close()

    def _version(self) -> int:
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version


# Schema


def _migrations() -> dict[int, Path]:
    return {int(file.name[:4]): file for file in sorted(MIGRATIONS.glob("*.sql"))}


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
