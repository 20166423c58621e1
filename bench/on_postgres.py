"""Measuring on PostgreSQL: a server of its own with PostgreSQL's own settings, whose CPU counts as well.

But for its cache: a quarter of the machine's memory, as PostgreSQL's manual advises; by itself it takes 128 MiB.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from bench.figures import Table
from bench.machine import memory_mib
from bench.past import FILLING, PAST, SESSION, Destination, filling_values, past
from bench.processes import Processes, cpu_seconds
from gateway.clock import system_clock
from gateway.ids import new_ulid
from gateway.store import open_store
from tests.postgres import PostgresServer

_LIKE_PRODUCTION = {"fsync": "on", "full_page_writes": "on", "autovacuum_naptime": "1min"}
_CACHE = 4  # of the machine's memory, one part in so many
_OPEN = (
    f"INSERT INTO session ({SESSION}) VALUES"  # noqa: S608 - our own names
    " (1, %s, %s, %s, %s, 6, 'phone', 'en', '', 'live', 5, 0, 0, 1, 2, '', '', false, '+7952')"
    " ON CONFLICT (project_id, destination) DO NOTHING"
)
_USE = "UPDATE session SET state = 'used', attempts_left = 5 WHERE id = %s AND state = 'live' RETURNING code_mac"
_TABLES = (
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC"
)

Connection = psycopg.Connection[tuple[object, ...]]


class OnPostgres:
    """Implements `bench.kinds.BenchStore`."""

    def __init__(self) -> None:
        self._server = PostgresServer(shared_buffers=f"{memory_mib() // _CACHE}MB", **_LIKE_PRODUCTION)

    def __enter__(self) -> "OnPostgres":
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def version(self) -> str:
        [(version,)] = self._server.sql("SHOW server_version")
        return f"PostgreSQL {str(version).partition(' ')[0]}"

    def count_in(self, processes: Processes) -> None:
        processes.count("postgres", self._server.pid)

    def new(self, name: str) -> str:  # noqa: ARG002 - the server has its own names
        return self._server.empty_database()

    def bare_ms(self, url: str, logins: int) -> dict[str, float]:
        store = open_store(url)
        store.migrate()
        store.close()
        people = [(os.urandom(16), new_ulid(system_clock())) for _ in range(logins)]
        with _opened(url) as db:
            db.execute("SET synchronous_commit = off")
            cursor = db.cursor(binary=True)
            server, client = cpu_seconds(self._server.pid), time.process_time()
            for destination, session_id in people:
                cursor.execute(_OPEN, (destination, session_id, bytes(44), bytes(16)), prepare=True)
                cursor.execute(_USE, (session_id,), prepare=True).fetchone()
            client = time.process_time() - client
            server = cpu_seconds(self._server.pid) - server
        return {"psycopg": client / logins * 1000, "postgres": server / logins * 1000}

    def fill(self, url: str, people: int, destination: Destination) -> None:
        values = filling_values(people)
        with _opened(url) as db:
            with db.transaction():
                db.execute(_written(PAST))
                with db.cursor().copy("COPY past FROM STDIN (FORMAT BINARY)") as copy:
                    copy.set_types(["int8", "bytea", "text", "int8"])
                    for row in past(people, destination):
                        copy.write_row(row)
                for statement in FILLING:
                    db.execute(_written(statement), values)
            db.execute("VACUUM ANALYZE")
            db.execute("CHECKPOINT")

    def database_bytes(self, url: str) -> int:
        with _opened(url) as db:
            return _number(db, sql.SQL("SELECT pg_database_size(current_database())"))

    def tables(self, url: str) -> dict[str, Table]:
        with _opened(url) as db:
            names = [str(name) for name, _ in db.execute(_TABLES)]
            weight, rows = sql.SQL("SELECT pg_total_relation_size({})"), sql.SQL("SELECT count(*) FROM {}")
            return {
                name: Table(
                    _number(db, rows.format(sql.Identifier(name))),
                    _number(db, weight.format(sql.Literal(name))),
                )
                for name in names
            }


@contextmanager
def _opened(url: str) -> Iterator[Connection]:
    with psycopg.connect(url, autocommit=True) as db:
        yield db


def _number(db: Connection, query: sql.SQL | sql.Composed) -> int:
    row = db.execute(query).fetchone()
    assert row
    return int(str(row[0]))


def _written(statement: str) -> sql.SQL:
    """As psycopg writes values."""
    return sql.SQL(re.sub(r":(\w+)", r"%(\1)s", statement.format(bytes="bytea")))
