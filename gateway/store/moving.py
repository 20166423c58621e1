"""`kodgate copy`: moves a whole installation from one store to another, checked row by row.

All of it is one transaction on the target: whatever goes wrong, the target is as empty as before. While it runs
nothing may write to the source, and nothing can: where a process is still connected, it refuses.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql

from gateway.store import POSTGRES, StoreError, open_store, without_password
from gateway.store.postgres_connections import connect
from gateway.store.postgres_pool import NO_LIMIT, one_line

BATCH = 1000  # rows at hand at a time: some 300 KiB
# Audit before its floor, which must stay below the newest entry.
TABLES = (
    *("meta", "project", "api_key", "session", "message", "activation", "habit", "spent", "event", "stop"),
    *("lease", "taken_update", "expected", "manual", "callback", "early_report", "usage", "audit", "audit_floor"),
)
NUMBERED = {"project": "id", "message": "id", "event": "number", "audit": "number"}
_OWN = {("session", "era")}  # columns of PostgreSQL's own: what comes over is of the era in which it comes
_AUTOINCREMENT = ("project", "message")
_GONE_WITHIN = 2.0  # seconds until the server has noticed that our own last connection ended
_STOP = "still has this database open: stop every Kodgate process first"
_HASH_BITS = 256

_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'kodgate' AND pid <> pg_backend_pid()
"""

Row = Sequence[Any]


class Side(Protocol):
    """The source or the target, in one transaction."""

    def columns(self, table: str) -> list[str]: ...

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]: ...

    def write(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None: ...

    def next_number(self, table: str) -> int:
        """The highest number that was ever given in a table of `NUMBERED`."""

    def go_on_from(self, table: str, number: int) -> None: ...

    def commit(self) -> None: ...

    def close(self) -> None: ...


def copy(source_url: str, target_url: str) -> dict[str, int]:
    """How many rows of each table went over. Raises `StoreError`."""
    if source_url == target_url:
        raise StoreError("--from and --to name the same database")
    _need_existing(source_url)
    for url in (source_url, target_url):
        store = open_store(url)
        store.migrate()
        store.close()
    try:
        with closing(_open(source_url)) as source, closing(_open(target_url)) as target:
            _need_empty(target, target_url)
            counts = {table: _copy(source, target, table) for table in TABLES}
            for table in NUMBERED:
                target.go_on_from(table, source.next_number(table))
            target.commit()
    except (sqlite3.Error, psycopg.Error) as problem:
        raise StoreError(f"nothing was copied: {one_line(problem)}") from None
    return counts


def _copy(source: Side, target: Side, table: str) -> int:
    columns = source.columns(table)
    if sorted(columns) != sorted(target.columns(table)):
        raise StoreError(f"nothing was copied: the table {table} differs between the two")
    read = _Sum()
    target.write(table, columns, read.counting(source.rows(table, columns)))
    written = _Sum()
    for _ in written.counting(target.rows(table, columns)):
        pass
    if (read.rows, read.digest) != (written.rows, written.digest):
        raise StoreError(f"nothing was copied: {table} came over as {written.rows} rows instead of {read.rows}")
    return read.rows


class _Sum:
    """Counts rows, and adds up their hashes, so that their order does not matter."""

    def __init__(self) -> None:
        self.rows = 0
        self.digest = 0

    def counting(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            plain = [_plain(value) for value in row]
            digest = hashlib.sha256(repr(plain).encode("utf-8", "surrogatepass")).digest()
            self.digest = (self.digest + int.from_bytes(digest)) % (1 << _HASH_BITS)
            self.rows += 1
            yield plain


def _plain(value: Any) -> Any:
    """As both stores can hold it: truth is a number, and PostgreSQL's texts have no NUL."""
    if isinstance(value, bool):
        return int(value)
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _need_existing(url: str) -> None:
    if not url.startswith(POSTGRES) and not Path(url.removeprefix("sqlite:///")).exists():
        raise StoreError(f"--from: there is no {url.removeprefix('sqlite:///')}")


def _need_empty(target: Side, url: str) -> None:
    for table in TABLES:
        if table != "audit_floor" and next(target.rows(table, target.columns(table)), None) is not None:
            raise StoreError(f"--to: {without_password(url)} is not empty: there are rows in {table}")


def _open(url: str) -> Side:
    if url.startswith(POSTGRES):
        return _Postgres(url)
    return _Sqlite(url.removeprefix("sqlite:///"))


class _Sqlite:
    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=1)
        try:
            # Only who is alone can leave the write-ahead log; the next process goes back to it.
            self._db.execute("PRAGMA journal_mode=DELETE")
            self._db.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            self._db.close()
            raise StoreError(f"something {_STOP} ({path})") from None

    def columns(self, table: str) -> list[str]:
        return [name for _, name, *_ in self._db.execute(f"PRAGMA table_info({table})")]

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        yield from self._db.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - our own names

    def write(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        if table == "audit_floor":
            self._write_floor(columns, rows)
            return
        marks = ", ".join("?" * len(columns))
        self._db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608

    def _write_floor(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        for row in rows:
            values = dict(zip(columns, row, strict=True))
            if values["number"]:
                self._db.execute("UPDATE audit_floor SET number = :number WHERE lasting = :lasting", values)

    def next_number(self, table: str) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        [highest] = self._db.execute(f"SELECT coalesce(max({NUMBERED[table]}), 0) FROM {table}").fetchone()  # noqa: S608
        return int(max(highest, row[0] if row else 0))

    def go_on_from(self, table: str, number: int) -> None:
        if table in _AUTOINCREMENT:  # the others go on from their last row, which no purge takes
            self._db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            self._db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, number))

    def commit(self) -> None:
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class _Postgres:
    def __init__(self, url: str) -> None:
        self._db = connect(url)
        if self._is_used():
            self._db.close()
            raise StoreError(f"something {_STOP} ({without_password(url)})")
        self._db.autocommit = False
        self._db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._db.execute(NO_LIMIT)
        names = sql.SQL(", ").join(map(sql.Identifier, TABLES))
        self._db.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))

    def _is_used(self) -> bool:
        end = time.monotonic() + _GONE_WITHIN
        while True:
            others = self._db.execute(_OTHERS).fetchone()
            if not others or not others[0]:
                return False
            if time.monotonic() > end:
                return True
            time.sleep(0.05)

    def columns(self, table: str) -> list[str]:
        described = self._db.execute(f"SELECT * FROM {table} LIMIT 0").description or ()  # noqa: S608 - our own names
        return [column.name for column in described if (table, column.name) not in _OWN]

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        with self._db.cursor(name="moving") as cursor:
            cursor.itersize = BATCH
            cursor.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - our own names
            yield from cursor

    def write(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        if table == "audit_floor":
            self._write_floor(columns, rows)
            return
        flags = self._flags(table)
        with self._db.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as into:
            for row in rows:
                into.write_row(
                    [bool(value) if name in flags else value for name, value in zip(columns, row, strict=True)]
                )

    def _write_floor(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        for row in rows:
            values = dict(zip(columns, row, strict=True))
            if values["number"]:
                self._db.execute(
                    "UPDATE audit_floor SET number = %s WHERE lasting = %s",
                    (values["number"], bool(values["lasting"])),
                )

    def _flags(self, table: str) -> set[str]:
        described = self._db.execute(f"SELECT * FROM {table} LIMIT 0").description or ()  # noqa: S608 - our own names
        boolean = psycopg.adapters.types["bool"].oid
        return {column.name for column in described if column.type_code == boolean}

    def next_number(self, table: str) -> int:
        row = self._db.execute(
            "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, %s)::regclass), 0)",
            (table, NUMBERED[table]),
        ).fetchone()
        return int(row[0]) if row else 0

    def go_on_from(self, table: str, number: int) -> None:
        if number:
            self._db.execute(
                "SELECT setval(pg_get_serial_sequence(%s, %s)::regclass, %s)", (table, NUMBERED[table], number)
            )

    def commit(self) -> None:
        self._db.commit()

    def close(self) -> None:
        self._db.close()
