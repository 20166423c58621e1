"""A store to be measured, and how: the same for SQLite and PostgreSQL."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from bench.figures import Table
from bench.on_postgres import OnPostgres
from bench.on_sqlite import OnSqlite
from bench.past import Destination
from bench.processes import Processes


class BenchStore(Protocol):
    """One kind of store: where its databases are made, what they weigh, what it costs without us."""

    def version(self) -> str:
        """As the reader knows it: `SQLite 3.40.1`."""

    def count_in(self, processes: Processes) -> None:
        """Its server's processes count, where it has any."""

    def new(self, name: str) -> str:
        """An empty database's `DATABASE_URL`."""

    def bare_ms(self, url: str, logins: int) -> dict[str, float]:
        """CPU ms of a login's bare SQL in a loop, by process: a row looked for, inserted, found, updated."""

    def fill(self, url: str, people: int, destination: Destination) -> None:
        """A login of the past and an activation for so many people, in one transaction."""

    def database_bytes(self, url: str) -> int:
        """All of it on the disk."""

    def tables(self, url: str) -> dict[str, Table]:
        """Each of our tables, with its indexes."""


STORES = ("sqlite", "postgres")


def open_store(name: str, folder: Path) -> AbstractContextManager[BenchStore]:
    """One of `STORES`."""
    return OnSqlite(folder) if name == "sqlite" else OnPostgres()
