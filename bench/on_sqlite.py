"""Measuring on SQLite: a file a database."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bench.figures import Table
from bench.past import FILLING, PAST, SESSION, Destination, filling_values, past
from bench.processes import Processes
from gateway.clock import system_clock
from gateway.ids import new_ulid
from gateway.store import open_store
from gateway.store.sqlite import RESTART_PAGES

_FILLING_CACHE = "PRAGMA cache_size=-1000000"  # KiB
_LOOK = "SELECT id, state, expires_at FROM session WHERE project_id = 1 AND destination = ?"
_INSERT = (
    f"INSERT INTO session ({SESSION}) VALUES"  # noqa: S608 - our own names
    " (1, ?, ?, ?, ?, 6, 'phone', 'en', '', 'live', 5, 0, 0, 1, 2, x'', '', 0, '+7952')"
)
_FIND = "SELECT code_mac, attempts_left, destination FROM session WHERE id = ?"
_USE = "UPDATE session SET state = 'used', attempts_left = 5 WHERE project_id = 1 AND destination = ?"


class OnSqlite:
    """Implements `bench.kinds.BenchStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> "OnSqlite":
        return self

    def __exit__(self, *_: object) -> None:
        """Its folder is its maker's."""

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def count_in(self, processes: Processes) -> None:
        """It has no server."""

    def new(self, name: str) -> str:
        return f"sqlite:///{self._folder}/{name}.sqlite3"

    def bare_ms(self, url: str, logins: int) -> dict[str, float]:
        store = open_store(url)
        store.migrate()
        store.close()
        with _opened(url) as db:
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint={RESTART_PAGES}")
            people = [(os.urandom(16), new_ulid(system_clock())) for _ in range(logins)]
            began = time.process_time()
            for person in people:
                _log_in(db, *person)
            spent = time.process_time() - began
        return {"sql": spent / logins * 1000}

    def fill(self, url: str, people: int, destination: Destination) -> None:
        values = filling_values(people)
        with _opened(url) as db:
            db.execute("PRAGMA journal_mode=OFF")
            db.execute("PRAGMA synchronous=OFF")
            db.execute(_FILLING_CACHE)
            db.execute(PAST.format(bytes="blob"))
            db.execute("BEGIN")
            db.executemany("INSERT INTO past VALUES (?, ?, ?, ?)", past(people, destination))
            for statement in FILLING:
                db.execute(statement.format(bytes="blob"), values)
            db.execute("COMMIT")
            db.execute("PRAGMA journal_mode=WAL")

    def database_bytes(self, url: str) -> int:
        path = Path(url.removeprefix("sqlite:///"))
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))

    def tables(self, url: str) -> dict[str, Table]:
        with _opened(url) as db:
            weights = db.execute(
                "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name)"
                " WHERE aggregate = TRUE GROUP BY tbl_name ORDER BY sum(pgsize) DESC"
            ).fetchall()
            return {
                name: Table(db.execute(f"SELECT count(*) FROM {name}").fetchone()[0], weight)  # noqa: S608
                for name, weight in weights
            }


@contextmanager
def _opened(url: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as db:
        yield db


def _log_in(db: sqlite3.Connection, destination: bytes, session_id: str) -> None:
    """Two transactions."""
    db.execute("BEGIN IMMEDIATE")
    db.execute(_LOOK, (destination,)).fetchone()
    db.execute(_INSERT, (destination, session_id, bytes(44), bytes(16)))
    db.execute("COMMIT")
    db.execute("BEGIN IMMEDIATE")
    db.execute(_FIND, (session_id,)).fetchone()
    db.execute(_USE, (destination,))
    db.execute("COMMIT")
