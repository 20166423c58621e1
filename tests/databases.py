"""Where a test's gateway keeps everything: each store in turn, for the tests that ask for `database`."""

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from gateway.local import LocalGateway
from gateway.store import Store
from gateway.store.postgres import PostgresStore
from gateway.store.sqlite import SqliteStore
from tests.postgres import PostgresServer, binaries

T = TypeVar("T")


class Database:
    """Databases of one kind; the same folder has the same one. What was opened on them is let go at the end."""

    def __init__(self, postgres: Callable[[], PostgresServer] | None = None) -> None:
        self._postgres = postgres
        self._urls: dict[Path, str] = {}
        self._gateways: list[LocalGateway] = []

    @property
    def kind(self) -> str:
        return "postgres" if self._postgres else "sqlite"

    def url(self, folder: Path) -> str:
        if self._postgres is None:
            return f"sqlite:///{folder}/kodgate.sqlite3"
        if folder not in self._urls:
            self._urls[folder] = self._postgres().new_database()
        return self._urls[folder]

    def opened(self, gateway: LocalGateway) -> None:
        if self._postgres:
            self._gateways.append(gateway)

    def close(self) -> None:
        for gateway in self._gateways:  # whose audit log would else write into the next test's database
            gateway.close()
            gateway.store.close()
        if self._postgres:
            for url in self._urls.values():
                self._postgres().give_back(url)
        self._gateways.clear()
        self._urls.clear()


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """One statement of the test's own, whatever the store; its rows."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as db:
            return db.execute(statement).fetchall()
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def lose_power(store: Store, now: int) -> None:
    """As if its last commits might be missing: SQLite boots `now`, PostgreSQL has crashed."""
    if isinstance(store, SqliteStore):
        store.void_before = now
    else:
        assert isinstance(store, PostgresStore)
        execute(store._url, "DELETE FROM incarnation")


def hurried(url: str, ms: int = 100) -> str:
    """The same PostgreSQL database for a role of which statements that take longer are given up."""
    return f"{url}?options=-cstatement_timeout%3D{ms}"


def outlives_its_limit(url: str, table: str, act: Callable[[], T], ms: int = 100) -> T:
    """What it returns or raises, its statement about `table` having taken longer than that on PostgreSQL."""
    waiting = "SELECT 1 FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE NOT granted AND relname = %s"
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as threads:
        other.execute(f"LOCK TABLE {table}")
        asked = threads.submit(act)
        while not asked.done() and not other.execute(waiting, (table,)).fetchall():
            time.sleep(0.01)
        time.sleep(2 * ms / 1000)
        other.rollback()
        return asked.result()


def dump(url: str) -> str:
    """All that is stored, as text; bytes in hexadecimal."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
            return "\n".join(db.iterdump())
    dumped = subprocess.run([binaries() / "pg_dump", url], stdout=subprocess.PIPE, text=True, check=True)
    return dumped.stdout


@contextmanager
def current(database: Database) -> Iterator[Database]:
    """Worlds that are made meanwhile are on it."""
    CURRENT.append(database)
    try:
        yield database
    finally:
        CURRENT.pop()


@contextmanager
def chosen(kind: str, postgres: Callable[[], PostgresServer]) -> Iterator[Database]:
    """For one test, a database of a kind."""
    database = Database(postgres if kind.startswith("postgres") else None)
    with current(database):
        yield database
    database.close()


CURRENT = [Database()]
"""The last is the one that `tests.world.make_world` uses: SQLite, where the test asks for nothing else."""
