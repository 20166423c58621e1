"""Where a test's gateway keeps everything: each store in turn, for the tests that ask for `database`."""

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from gateway.local import LocalGateway
from gateway.store import Store
from gateway.store.postgres import PostgresStore
from gateway.store.sqlite import SqliteStore
from tests.postgres import PostgresServer, binaries


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
