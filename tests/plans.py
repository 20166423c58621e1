"""How SQLite means to run the statements of the tests: none may read a table that grows from end to end."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.store import sqlite, sqlite_connections

SMALL = {"migration", "project", "api_key", "stop", "early_report"}
BOUNDED = {"event": "DELETE", "audit": "SELECT", "newest": "SELECT"}  # by LIMIT, in the order of their keys
PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@contextmanager
def no_scans(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looks, at the end, at what was asked meanwhile over new connections."""
    connect: Callable[[Path], sqlite3.Connection] = sqlite_connections.connect
    asked: dict[Path, set[str]] = {}

    def traced(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(asked.setdefault(path, set()).add)
        return connection

    monkeypatch.setattr(sqlite, "connect", traced)
    yield
    heard = [(path, set(statements)) for path, statements in list(asked.items())]  # others' threads may go on
    scans = [scan for path, statements in heard for scan in _scans(path, statements)]
    assert not scans, scans


def _scans(path: Path, statements: set[str]) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        for statement in filter(lambda one: one.startswith(PLANNED), map(str.lstrip, statements)):
            for *_, step in db.execute(f"EXPLAIN QUERY PLAN {statement}"):
                table = step.removeprefix("SCAN ").partition(" ")[0] if step.startswith("SCAN ") else ""
                if table and not _may_be_read_whole(table, statement):
                    yield table, statement


def _may_be_read_whole(table: str, statement: str) -> bool:
    bounded = "LIMIT" in statement and statement.startswith(BOUNDED.get(table, "never"))
    made_here = table.startswith("(subquery") or table == "CONSTANT" or table.removesuffix("-ROW").isdecimal()
    return table in SMALL or bounded or made_here
