"""The store on SQLite: one file, WAL, plain SQL, one connection a thread (sqlite_connections.py).

Commits are `synchronous=NORMAL`: nothing is lost when a process dies, but a power loss can take the last commits,
a "used" among them; so sessions from before the machine's boot are void. Activations commit with `FULL`.
"""

import asyncio
import hmac
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeVar

import msgspec

from gateway.channels import Channel
from gateway.clock import AHEAD, Clock, machine_booted_at, system_clock, to_iso
from gateway.ids import lowest_ulid, made_at
from gateway.projects import Project, ProjectSettings, changed_names
from gateway.store import (
    ApiKey,
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
    sqlite_audit,
    sqlite_fallback,
    sqlite_guard,
    sqlite_limits,
    sqlite_manual,
    sqlite_many,
    sqlite_tap,
)
from gateway.store.entries import By, Entry, Wanted
from gateway.store.sqlite_connections import Connection, Together, Writing, connect, create, in_turn

MIGRATIONS = Path(__file__).parent / "migrations" / "sqlite"
EXPANDS = ".expands"  # ends the name of a migration beside which code from before goes on
RESTART_PAGES = 4_000  # a log of 16 MiB is begun anew, for which writers wait a few milliseconds
WATCH_EVERY = 0.010  # seconds between two looks at data_version: what a waiting message may cost

_SESSION_BY_ID = """
    SELECT s.id, s.project_id, s.destination, s.sealed, s.kind, s.lang, s.browser, s.code_length, s.state,
    s.attempts_left, s.created_at, s.expires_at, s.browser_mac, s.place, s.joined, a.chat_id, a.active,
    (SELECT channel FROM habit h WHERE h.project_id = s.project_id AND h.destination = s.destination
     ORDER BY last_used_at DESC LIMIT 1)
    FROM session s LEFT JOIN activation a ON a.project_id = s.project_id AND a.destination = s.destination
    WHERE s.id = ?
"""


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

    remote = False

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
            done = dict(db.execute("SELECT number, name FROM migration"))
            files = {int(file.name[:4]): file for file in sorted(MIGRATIONS.glob("*.sql"))}
            unknown = done.keys() - files.keys()
            if unknown := {number for number in unknown if not done[number].endswith(EXPANDS)}:
                raise StoreError(
                    f"{self._path} was written by a newer Kodgate (migration {max(unknown)}): "
                    "start that version, or restore an older copy"
                )
            todo = [number for number in files if number not in done]
            for number in todo:
                for statement in _statements(files[number].read_text(encoding="utf-8")):
                    db.execute(statement)
                db.execute("INSERT INTO migration VALUES (?, ?)", (number, files[number].stem))
        return len(todo)

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
        return [Project(key, _settings(text)) for key, text in rows]

    def api_keys(self) -> list[ApiKey]:
        rows = self._read("SELECT hash, project_id, secret, code_key, expires_at FROM api_key")
        return [ApiKey(digest, project, bool(secret), *more) for digest, project, secret, *more in rows]

    def add_project(self, settings: ProjectSettings, now: int, by: By | None = None) -> Project:
        with Writing(self._connection) as db:
            return Project(_add_project(db, settings, by or By("system", now)), settings)

    def change_project(self, project_id: int, settings: ProjectSettings, by: By | None = None) -> None:
        text = msgspec.json.encode(settings).decode()
        with Writing(self._connection) as db:
            _note_changes(db, project_id, settings, by)
            db.execute("UPDATE project SET settings = ? WHERE id = ?", (text, project_id))
            # A person's chat has the same id at every bot, but the new one may not write before they start it.
            db.execute(
                "UPDATE activation SET bot_id = ?1, active = 0 WHERE project_id = ?2 AND bot_id <> ?1",
                (settings.bot_id, project_id),
            )

    def ensure_first_project(
        self, settings: ProjectSettings, public: bytes, secret: bytes, code_key: bytes, now: int
    ) -> None:
        with Writing(self._connection) as db:
            first = db.execute("SELECT min(id) FROM project").fetchone()[0]
            if first is None:
                first = _add_project(db, settings, By("system", now))
            current = "SELECT hash FROM api_key WHERE project_id = ? AND expires_at IS NULL"
            if {digest for (digest,) in db.execute(current, (first,))} != {public, secret}:
                _set_keys(db, first, public, secret, code_key, now)
                _note_keys(db, first, now, By("system", now))

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
            _set_keys(db, project_id, public, secret, code_key, old_until)
            _note_keys(db, project_id, old_until, by)

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
            old, habits, used = _destination(db, new, guessed)
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
                    db.execute("UPDATE session SET joined = 1 WHERE id = ?", (old.id,))
                    _announce(db, old.id, new.now)  # the first browser's number is worth nothing from now on
                    sqlite_audit.write(db, new.now, new.actor, "session.join", new.project_id, old.id)
                session = _session(db, old.id)
            else:
                _insert_session(db, new)
                session = _fresh(new, habits)
            sent_to = None
            if order:
                sent_to = _choose(db, order, session)
                if not order.hold:
                    session, outcome = _queue(
                        db, session, sent_to, new.now, order.cooldown, None, order.parks, order.discreet
                    )
                    counts = counts or outcome in _SENT
                    if outcome in _SENT and toll and not _is_free(session, sent_to):
                        toll = toll.plus(order.ceilings.get(sent_to))
            if counts:
                sqlite_limits.charge(db, toll, new.now)
        return Opened(session, sent_to)

    def session(self, project_id: int | None, session_id: str) -> SessionRow | None:
        row = self.sessions((session_id,)).get(session_id)
        return row if row and project_id in (None, row.project_id) else None

    def sessions(self, session_ids: Sequence[str]) -> dict[str, SessionRow]:
        found = self._look(lambda db: [_find_session(db, session_id) for session_id in session_ids])
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
            session = _find_session(db, session_id)
            if session is None or session.project_id != project_id or session.created_at < self.void_before:
                return None
            if session.state != "live" or session.is_over(now):
                return None
            session, outcome = _queue(db, session, channel, now, cooldown, own, parks)
            if outcome in _SENT:
                sqlite_limits.charge(db, toll, now)
                detail = f"{channel}: {outcome}"
                sqlite_audit.write(db, now, actor, "session.send", project_id, session_id, detail=detail)
        return Queued(session, outcome)

    def set_code(self, project_id: int, session_id: str, own: OwnCode, now: int) -> bool:
        with Writing(self._connection) as db:
            alive = f"{_OWN_CODE} AND project_id = ? AND state = 'live' AND expires_at > ?"
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
            row = db.execute(_TRIED, (session_id, project_id, now, self.void_before, now + AHEAD)).fetchone()
            session = _Tried(*row) if row else None
            if session is None or (session.paused_until > now and not known):
                sqlite_limits.charge(db, toll, now)
                return Refused("guesses", session.paused_until, 1) if session else None
            wrong = sqlite_limits.with_guesses(toll, guesses, session.destination, session.code_length)
            counted = sqlite_limits.look(db, wrong, now)  # right or wrong, lest the time that it takes tells which
            outcome = _compared(session, macs, now, pause)
            db.execute(_TRY, (*outcome, project_id, session.destination))
            state, attempts_left, *_ = outcome
            right = state == "used"
            channel = Channel(session.channel) if session.channel and right else None
            if right:
                sqlite_limits.note_known(db, guesses, session.destination, now)
            else:
                sqlite_limits.count(db, counted)
            if channel:
                _note_habit(db, project_id, session.destination, channel, now)
            if state != "live":
                _announce(db, session_id, now)
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
                _note_habit(db, project_id, destination, Channel.TELEGRAM, now)
            _announce(db, session_id, now)
            reason = "" if state == "approved" else "WrongNumber"
            sqlite_audit.write(db, now, "telegram", "tap.pick", project_id, session_id, reason=reason)
        return state

    def deny(self, bot_id: int, chat_id: int, session_id: str, now: int, pause: Pause) -> bool:
        with Writing(self._connection) as db:
            press = sqlite_tap.values(bot_id, chat_id, session_id, now, self.void_before, pause)
            project_id = sqlite_tap.deny(db, press)
            if project_id is not None:
                _announce(db, session_id, now)
                sqlite_audit.write(db, now, "telegram", "tap.deny", project_id, session_id)
        return project_id is not None

    def collect(
        self, project_id: int, session_id: str, browser_mac: bytes, now: int, actor: str = "system"
    ) -> Collected | None:
        with Writing(self._connection) as db:
            sealed = sqlite_tap.collect(db, project_id, session_id, browser_mac, now, self.void_before)
            if sealed is not None:
                _announce(db, session_id, now)
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
        # By the index on ids alone, which has the project in it: the primary key would read all of a project.
        [(begun, used)] = self._read(
            "SELECT count(*), coalesce(sum(state IN ('used', 'approved')), 0) FROM (SELECT state FROM session"
            " INDEXED BY session_id WHERE id >= ? AND id < ? AND project_id = ? ORDER BY id DESC LIMIT ?)",
            lowest_ulid(after),
            lowest_ulid(before),
            project_id,
            most,
        )
        return begun, used

    # Activation

    @_under_limits
    def activate(self, link: Link, now: int, toll: Toll | None = None) -> tuple[bool, int]:
        with self._durably() as db:
            changed, released = _activate(db, link, now)
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
            released = sum(_activate(db, Link(*link), now)[1] for link in links)
        return released if links else None

    def deactivate(self, bot_id: int, chat_id: int, now: int) -> bool:
        with Writing(self._connection) as db:
            rows = db.execute(
                "UPDATE activation SET active = 0, changed_at = ? WHERE bot_id = ? AND chat_id = ? AND active = 1"
                " RETURNING project_id, destination",
                (now, bot_id, chat_id),
            ).fetchall()
            for project_id, destination in rows:
                _announce_destination(db, project_id, destination, now)
                sqlite_audit.write(db, now, "telegram", "bot.stop", project_id, destination=destination)
        return bool(rows)

    # Delivery

    def deliver(
        self, outcomes: Sequence[Outcome], now: int, lease: int, channels: Sequence[Channel], most: int
    ) -> Round:
        if not outcomes:  # a look that takes no lock: most wake-ups are for others
            next_due = self._look(lambda db: _soonest(db, channels))
            if next_due is None or next_due > now or not most:
                return Round([], next_due)
        with Writing(self._connection) as db:
            for outcome in outcomes:
                _finish(db, outcome, now)
            claimed = self._claim(db, now, lease, channels, most) if channels and most else []
            return Round(claimed, _soonest(db, channels))

    def _claim(
        self, db: sqlite3.Connection, now: int, lease: int, channels: Sequence[Channel], most: int
    ) -> list[Claimed]:
        asked = (self.void_before, now + AHEAD, *channels, now, most)
        rows = db.execute(_due(len(channels)), asked).fetchall()
        alive = [row for row in rows if row[-2] == "live" and row[-1] > now]
        for row in rows:
            if row not in alive:
                _finish(db, Outcome(row[0], "failed", error="the session was over"), now)
        db.executemany(
            "UPDATE message SET state = 'sending', attempts = attempts + 1, due_at = ? WHERE id = ?",
            [(now + lease, row[0]) for row in alive],
        )
        return [_claimed(row) for row in alive]

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

    def finish_callback(self, message_id: int, due_at: int | None) -> None:
        with Writing(self._connection) as db:
            sqlite_manual.finish_callback(db, message_id, due_at)

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
        return self._read(_events(len(missing)), *missing, number, most)

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

    def purge(self, before: int, most: int) -> int:
        oldest = lowest_ulid(before)
        gone = 0
        with Writing(self._connection) as db:
            for table, key in (("session", "id"), ("message", "session_id"), ("spent", "session_id")):
                gone += db.execute(
                    f"DELETE FROM {table} WHERE {key} IN"  # noqa: S608 - our own names
                    f" (SELECT {key} FROM {table} WHERE {key} < ? ORDER BY {key} LIMIT ?)",
                    (oldest, most),
                ).rowcount
            gone += sqlite_manual.purge(db, oldest, most)
            gone += sqlite_many.purge(db, oldest, before, most)
            used, self._purged_to = sqlite_limits.purge(db, self._purged_to, before, most)
            gone += used
            gone += sqlite_fallback.purge(db, before, most)
            gone += sqlite_guard.purge(db, before)
            gone += db.execute(
                "DELETE FROM event WHERE number IN (SELECT number FROM"
                " (SELECT number, at FROM event ORDER BY number LIMIT ?) WHERE at < ?)"
                " AND number < (SELECT max(number) FROM event)",
                (most, before),
            ).rowcount
        return gone

    # Audit

    def note(self, entries: Sequence[Entry]) -> None:
        with Writing(self._connection) as db:
            sqlite_audit.write_all(db, entries)

    def audit(self, wanted: Wanted) -> list[Entry]:
        return self._look(lambda db: sqlite_audit.read(db, wanted))

    def purge_audit(self, before: int, rows: int, most: int) -> int:
        with Writing(self._connection) as db:
            return sqlite_audit.purge(db, before, rows, most)

    def checkpoint(self) -> None:
        """What is written meanwhile is moved by the second turn: the last, for which writers wait, is short."""
        for mode in ("PASSIVE", "PASSIVE", "RESTART"):
            busy, pages, moved = self._read(f"PRAGMA wal_checkpoint({mode})")[0]
            if busy or pages < RESTART_PAGES or moved == pages:
                return

    def together(self) -> "Together":
        return Together(self._connection)

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


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


# Projects


def _add_project(db: sqlite3.Connection, settings: ProjectSettings, by: By) -> int:
    text = msgspec.json.encode(settings).decode()
    row = db.execute(
        "INSERT INTO project (settings, created_at) VALUES (?, ?) RETURNING id", (text, by.now)
    ).fetchone()
    number: int = row[0]
    sqlite_audit.write(db, by.now, by.actor, "project.create", number)
    return number


def _note_changes(db: sqlite3.Connection, project_id: int, settings: ProjectSettings, by: By | None) -> None:
    row = db.execute("SELECT settings FROM project WHERE id = ?", (project_id,)).fetchone()
    if row and (names := changed_names(row[0], settings)):
        by = by or By("system", system_clock())
        sqlite_audit.write(db, by.now, by.actor, "project.change", project_id, detail=names)


def _note_keys(db: sqlite3.Connection, project_id: int, old_until: int, by: By | None) -> None:
    by = by or By("system", system_clock())
    end = f"the old ones end at {to_iso(max(old_until, by.now))}"
    sqlite_audit.write(db, by.now, by.actor, "project.keys", project_id, detail=end)


def _set_keys(
    db: sqlite3.Connection, project_id: int, public: bytes, secret: bytes, code_key: bytes, old_until: int
) -> None:
    db.execute("DELETE FROM api_key WHERE project_id = ? AND expires_at IS NOT NULL", (project_id,))
    taken = db.execute("SELECT 1 FROM api_key WHERE hash IN (?, ?)", (public, secret)).fetchone()
    if taken or public == secret:
        raise StoreError("one of these API keys is already in use")
    db.execute("UPDATE api_key SET expires_at = ? WHERE project_id = ?", (old_until, project_id))
    db.execute("INSERT INTO api_key (hash, project_id, secret) VALUES (?, ?, 0)", (public, project_id))
    with_code = "INSERT INTO api_key (hash, project_id, secret, code_key) VALUES (?, ?, 1, ?)"
    db.execute(with_code, (secret, project_id, code_key))


# Rows


@cache
def _settings(text: str) -> ProjectSettings:
    return msgspec.json.decode(text, type=ProjectSettings)


def _row_to_session(row: Any, sends: tuple[Send, ...]) -> SessionRow:
    known = Channel(row[17]) if row[17] else None
    fields: list[Any] = [*row[:14], bool(row[14]), row[15], bool(row[16]), known, sends]
    return SessionRow(*fields)


def _find_session(db: sqlite3.Connection, session_id: str) -> SessionRow | None:
    row = db.execute(_SESSION_BY_ID, (session_id,)).fetchone()
    return _row_to_session(row, _sends(db, session_id)) if row else None


def _session(db: sqlite3.Connection, session_id: str) -> SessionRow:
    session = _find_session(db, session_id)
    assert session is not None, "it was read in this transaction"  # noqa: S101
    return session


def _sends(db: sqlite3.Connection, session_id: str) -> tuple[Send, ...]:
    newest = {
        channel: Send(
            Channel(channel), state, bool(parked), created_at, Channel(instead) if instead else None, bool(tap)
        )
        for channel, state, parked, created_at, instead, tap in db.execute(
            "SELECT channel, state, began_parked, created_at, instead_of, tap FROM message WHERE session_id = ?"
            " ORDER BY id",
            (session_id,),
        )
    }
    return tuple(newest.values())


def _insert_session(db: sqlite3.Connection, new: NewSession) -> None:
    db.execute(
        "INSERT INTO session (project_id, destination, id, sealed, code_mac, code_length, kind, lang, browser,"
        " state, attempts_left, strikes, paused_until, created_at, expires_at, browser_mac, place, prefix)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'live', ?, 0, 0, ?, ?, ?, ?, ?)"
        " ON CONFLICT (project_id, destination) DO UPDATE SET id = excluded.id, sealed = excluded.sealed,"
        " code_mac = excluded.code_mac, code_length = excluded.code_length, own_code = NULL,"
        " lang = excluded.lang, browser = excluded.browser, state = 'live',"
        " attempts_left = excluded.attempts_left, created_at = excluded.created_at,"
        " expires_at = excluded.expires_at, browser_mac = excluded.browser_mac, place = excluded.place,"
        " joined = 0, prefix = excluded.prefix,"
        " paused_until = iif(session.created_at > ?, 0, session.paused_until)",
        (
            new.project_id,
            new.destination,
            new.id,
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
            new.prefix,
            new.now + AHEAD,
        ),
    )


class _Old(NamedTuple):
    """The last session of a destination; of none before, nothing."""

    state: str | None
    expires_at: int
    created_at: int
    paused_until: int
    id: str
    browser_mac: bytes
    joined: int

    def lives(self, now: int, void_before: int) -> bool:
        if self.state != "live" or self.expires_at <= now:
            return False
        return void_before <= self.created_at <= now + AHEAD


class _Habits(NamedTuple):
    """What a destination is known for."""

    chat_id: int | None
    active: int | None
    last_channel: str | None


_DESTINATION = """
    SELECT s.state, s.expires_at, s.created_at, coalesce(s.paused_until, 0), s.id, s.browser_mac, s.joined,
        a.chat_id, a.active, (SELECT channel FROM habit WHERE project_id = ?1 AND destination = ?2
        ORDER BY last_used_at DESC LIMIT 1), coalesce(u.due, 0), coalesce(u.until, 0)
    FROM (SELECT 1) LEFT JOIN session s ON s.project_id = ?1 AND s.destination = ?2
    LEFT JOIN activation a ON a.project_id = ?1 AND a.destination = ?2
    LEFT JOIN usage u ON u.key = ?3 AND u.at <= ?4
"""


def _destination(
    db: sqlite3.Connection, new: NewSession, guessed: bytes | None
) -> tuple[_Old, _Habits, tuple[int, int]]:
    """All that is known of a new session's destination, by one look; last, what was guessed there."""
    row = db.execute(_DESTINATION, (new.project_id, new.destination, guessed, new.now + AHEAD)).fetchone()
    return _Old(*row[:7]), _Habits(*row[7:10]), row[10:]


def _fresh(new: NewSession, habits: _Habits) -> SessionRow:
    """The row just inserted, without reading it back."""
    return SessionRow(
        new.id,
        new.project_id,
        new.destination,
        new.sealed,
        new.kind,
        new.lang,
        new.browser,
        new.code_length,
        "live",
        new.attempts,
        new.now,
        new.expires_at,
        new.browser_mac,
        new.place,
        False,
        habits.chat_id,
        bool(habits.active),
        Channel(habits.last_channel) if habits.last_channel else None,
    )


# Sending

_SENT = ("queued", "parked")  # of what may become of a send, those that count
_OWN_CODE = "UPDATE session SET code_mac = ?, own_code = ?, code_length = ? WHERE id = ?"


def _choose(db: sqlite3.Connection, order: Order, session: SessionRow) -> Channel:
    if order.wanted:
        return order.wanted
    carrying = [send for send in session.sends if send.channel in order.allowed]
    if not order.discreet:
        carrying = [send for send in carrying if send.state != "failed"]
    if carrying:
        return max(carrying, key=lambda send: send.created_at).channel
    if order.discreet:
        return order.default
    known = _most_used(db, session) if order.most_used else session.last_channel
    return known if known in order.allowed and known else order.default


def _most_used(db: sqlite3.Connection, session: SessionRow) -> Channel | None:
    row = db.execute(
        "SELECT channel FROM habit WHERE project_id = ? AND destination = ? ORDER BY uses DESC, last_used_at DESC",
        (session.project_id, session.destination),
    ).fetchone()
    return Channel(row[0]) if row else None


def _queue(
    db: sqlite3.Connection,
    session: SessionRow,
    channel: Channel,
    now: int,
    cooldown: int,
    own: OwnCode | None,
    parks: bool,
    discreet: bool = False,
) -> tuple[SessionRow, Any]:
    newest = next((send for send in session.sends if send.channel is channel), None)
    if newest and newest.state == "parked":
        if newest.created_at + cooldown > now:
            return session, "unchanged"
        db.execute(
            "UPDATE message SET created_at = ? WHERE session_id = ? AND state = 'parked'", (now, session.id)
        )
        return _session(db, session.id), "parked"
    if newest and (newest.state != "failed" or discreet) and newest.created_at + cooldown > now:
        return session, "unchanged" if newest.began_parked else "cooling"
    if own:
        db.execute(_OWN_CODE, (own.mac, own.sealed, own.length, session.id))
    state = "parked" if channel is Channel.TELEGRAM and not session.active and parks else "queued"
    db.execute(
        "INSERT INTO message (session_id, channel, state, began_parked, created_at, due_at)"
        " VALUES (?, ?, ?, ?, ?, 0)",
        (session.id, channel, state, state == "parked", now),
    )
    others = tuple(send for send in session.sends if send.channel is not channel)
    send = Send(channel, state, state == "parked", now)  # type: ignore[arg-type]
    return msgspec.structs.replace(session, sends=(*others, send)), state


def _is_free(session: SessionRow, channel: Channel) -> bool:
    """By the bot."""
    return channel is Channel.TELEGRAM and session.active


@cache
def _due(channels: int) -> str:
    """Due messages, each with its session's or, for a server's own (manual/send), its order's part."""
    return f"""
        SELECT m.id, m.session_id, coalesce(s.project_id, o.project_id), m.channel, coalesce(s.lang, o.lang),
            coalesce(s.sealed, o.sealed), coalesce(s.code_length, o.code_length),
            coalesce(s.own_code, o.own_code), m.attempts, m.created_at, a.chat_id, m.given_up, o.provider,
            coalesce(s.browser, ''), coalesce(s.place, ''), s.browser_mac <> x'' AND NOT s.joined,
            iif(o.id IS NOT NULL, 'live', iif(s.created_at BETWEEN ? AND ?, s.state, 'void')),
            coalesce(s.expires_at, o.expires_at)
        FROM message m LEFT JOIN session s ON s.id = m.session_id LEFT JOIN manual o ON o.id = m.session_id
        LEFT JOIN activation a ON a.project_id = coalesce(s.project_id, o.project_id)
            AND a.destination = coalesce(s.destination, o.destination) AND a.active = 1
        WHERE {_waiting(channels)} AND m.due_at <= ? ORDER BY m.due_at, m.id LIMIT ?
    """  # noqa: S608 - marks only


@cache
def _events(missing: int) -> str:
    """One search for each: asked as "either, or", SQLite reads the table from its beginning."""
    later = "SELECT number, session_id FROM event WHERE number > ?"
    if missing:
        marks = ", ".join("?" * missing)
        named = f"SELECT number, session_id FROM event WHERE number IN ({marks})"  # noqa: S608 - marks
        later = f"{named} UNION ALL {later}"
    return f"{later} ORDER BY number LIMIT ?"


@cache
def _next_due(channels: int) -> str:
    return f"SELECT min(m.due_at) FROM message m WHERE {_waiting(channels)}"  # noqa: S608 - marks only


def _soonest(db: sqlite3.Connection, channels: Sequence[Channel]) -> int | None:
    if not channels:
        return None
    due: int | None = db.execute(_next_due(len(channels)), channels).fetchone()[0]
    return due


def _waiting(channels: int) -> str:
    marks = ", ".join("?" * channels)
    return f"m.channel IN ({marks}) AND m.state IN ('queued', 'sending')"


def _claimed(row: Sequence[Any]) -> Claimed:
    number, session_id, project_id, channel, lang, sealed, length, own, attempts, created_at, *more = row
    chat_id, given_up, provider, browser, place, tap, _, end = more
    return Claimed(
        number,
        session_id,
        project_id,
        Channel(channel),
        lang,
        sealed,
        length,
        own,
        attempts + 1,
        created_at,
        end,
        chat_id,
        given_up,
        provider,
        browser,
        place,
        bool(tap),
    )


def _finish(db: sqlite3.Connection, outcome: Outcome, now: int) -> None:
    finished = None if outcome.state == "queued" else now
    row = db.execute(
        "UPDATE message SET state = ?, reference = ?, error = ?, due_at = ?, finished_at = ?,"
        " given_up = given_up | ?, tap = ?"
        " WHERE id = ? AND state IN ('queued', 'sending') RETURNING session_id, channel",
        (
            outcome.state,
            outcome.reference,
            outcome.error,
            outcome.due_at,
            finished,
            outcome.given_up,
            outcome.tap,
            outcome.message_id,
        ),
    ).fetchone()
    if not row or not finished:
        return
    session_id, channel = row
    if outcome.state == "failed" and outcome.instead:
        sqlite_fallback.take_over(db, session_id, Channel(channel), outcome.instead, outcome.ceilings, now)
    if outcome.reference:
        sqlite_fallback.apply_early(db, Channel(channel), outcome, now)
    _announce(db, session_id, now)
    sqlite_manual.ended(db, outcome.message_id, now)


# Codes


class _Tried(NamedTuple):
    """A session whose code is tried; `channel` is what last carried it."""

    attempts_left: int
    strikes: int
    paused_until: int
    code_mac: bytes
    code_length: int
    sealed: bytes
    destination: bytes
    channel: str | None


_TRIED = """
    SELECT attempts_left, strikes, paused_until, code_mac, code_length, sealed, destination,
        (SELECT channel FROM message WHERE session_id = ?1 AND state NOT IN ('parked', 'failed')
         ORDER BY id DESC LIMIT 1)
    FROM session WHERE id = ?1 AND project_id = ?2 AND state = 'live' AND expires_at > ?3
        AND created_at BETWEEN ?4 AND ?5
"""
_TRY = (
    "UPDATE session SET state = ?, attempts_left = ?, strikes = ?, paused_until = ?"
    " WHERE project_id = ? AND destination = ?"
)


def _compared(session: _Tried, macs: Sequence[bytes], now: int, pause: Pause) -> tuple[str, int, int, int]:
    """What `_TRY` makes of the session: used up by the right code, or with an attempt less."""
    equal = [hmac.compare_digest(session.code_mac, mac) for mac in macs]
    if any(equal):
        return "used", session.attempts_left, 0, 0
    left, strikes = session.attempts_left - 1, session.strikes
    if left:
        return "live", left, strikes, session.paused_until
    return "closed", 0, strikes + 1, now + min(pause.first << min(strikes, 20), pause.longest)


def _note_habit(db: sqlite3.Connection, project_id: int, destination: bytes, channel: Channel, now: int) -> None:
    db.execute(
        "INSERT INTO habit (project_id, destination, channel, uses, last_used_at) VALUES (?, ?, ?, 1, ?)"
        " ON CONFLICT (project_id, destination, channel)"
        " DO UPDATE SET uses = uses + 1, last_used_at = excluded.last_used_at",
        (project_id, destination, channel, now),
    )


# Activation and events


def _activate(db: sqlite3.Connection, link: Link, now: int) -> tuple[bool, int]:
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
        _announce_destination(db, *key, now)
    return old != new, released


def _announce(db: sqlite3.Connection, session_id: str, now: int) -> None:
    db.execute("INSERT INTO event (session_id, at) VALUES (?, ?)", (session_id, now))


def _announce_destination(db: sqlite3.Connection, project_id: int, destination: bytes, now: int) -> None:
    db.execute(
        "INSERT INTO event (session_id, at) SELECT id, ?1 FROM session"
        " WHERE project_id = ?2 AND destination = ?3 AND state = 'live' AND expires_at > ?1",
        (now, project_id, destination),
    )
