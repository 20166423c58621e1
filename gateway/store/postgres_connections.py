"""How the PostgreSQL store reaches its server: a pool, one statement a verb, and what each error means.

Nothing of a connection's own state is used, so that a pooler in transaction mode (PgBouncer) may stand in between;
only prepared statements are, where none does.
"""

import atexit
import logging
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from gateway.store import Busy, StoreError

log = logging.getLogger(__name__)

OLDEST = 150_000  # of servers that the tests run on
CONNECT_SECONDS = 5  # to a server that does not answer; as long as SQLite waits for its lock
WAIT_SECONDS = 2.0  # for a connection; then the visitor is told to come back, and the thread serves others
REST_SECONDS = 1.0  # after that, while which nobody else waits as long
REST_WAIT_SECONDS = 0.05
ANSWER_SECONDS = 2.0  # for a statement, which takes milliseconds: then the server gives it up, and it is undone
SILENT_SECONDS = 2.5  # then we do: the server is stopped, or out of reach, and nobody knows whether it was done
RECONNECT_SECONDS = 1.0  # between two tries to reach a server that is away; the pool's own would be ever rarer
CLOSE_SECONDS = 0.5  # that the pool's threads get to end: they may be waiting for a server that is away
TRIES = 3  # of a statement that lost a deadlock; the locks have one order, so that already one is rare
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: at its end the kernel forgets what it has not delivered
_LOOK_UP = 0.1  # seconds, while waiting, until a signal is noticed
_PARAMETERS: dict[str, str | int] = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "kodgate",
    "keepalives_idle": 10,  # seconds until a silent server is asked whether it is there
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms until what it does not acknowledge is given up
}
_NOT_NOW = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.InternalError,  # a read-only server's refusal to write among them
    errors.InsufficientPrivilege,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.FeatureNotSupported,
)
_ANOTHER_WOULD_DO = (
    errors.ReadOnlySqlTransaction,  # the address leads to the primary by now, and this connection to who was it
    errors.FeatureNotSupported,  # as a standby says it of an unlogged table; or a plan from before a migration
)

T = TypeVar("T")
Row = tuple[Any, ...]
Values = Sequence[object] | Mapping[str, object]


class PooledConnection(psycopg.Connection[Row]):
    """A connection with one cursor at hand: making one costs as much as a small statement.

    Of its statements, none is waited for longer than `patience` seconds.
    """

    hand: psycopg.Cursor[Row]
    patience: float | None = None

    def wait(self, gen: PQGen[T], interval: float = _LOOK_UP, timeout: float | None = None) -> T:
        if timeout is not None or self.patience is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience)
        except errors._WaitTimeout:
            self._break_off()
            raise psycopg.OperationalError(f"no answer from the server within {self.patience} s") from None

    def _break_off(self) -> None:
        """What is still to come answers nobody's question; what has not arrived yet shall not be done later."""
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.pgconn.finish()


Pool = ConnectionPool[PooledConnection]


class Connections:
    """The connections of one process, opened when first needed. Safe to share between threads."""

    def __init__(self, url: str, most: int) -> None:
        self._url = full_url(url)
        self._most = most
        self._lock = Lock()
        self._pool: Pool | None = None
        self._rests_until = 0.0
        self._stays_until = 0.0

    def run(self, statement: str, values: Values = ()) -> list[Row]:
        """One statement, which is one transaction; its rows. Raises `Busy`."""
        for _ in range(TRIES):
            pool, connection = self._take()
            try:
                cursor = connection.hand.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
            except (errors.DeadlockDetected, errors.SerializationFailure) as problem:
                lost: str = one_line(problem)
            except (psycopg.DataError, UnicodeEncodeError) as problem:
                former, values = values, _cleaned(values)
                if values == former:
                    raise
                lost = one_line(problem)
            except _NOT_NOW as problem:
                self._note_loss(pool, connection, problem)
                raise Busy(one_line(problem)) from None
            finally:
                pool.putconn(connection)
        raise Busy(lost)

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Cursor[Row]]:
        """Several statements in one transaction. Raises `Busy`."""
        pool, connection = self._take()
        try:
            with connection.transaction():
                yield connection.hand
        except _NOT_NOW as problem:
            self._note_loss(pool, connection, problem)
            raise Busy(one_line(problem)) from None
        finally:
            pool.putconn(connection)

    def close(self) -> None:
        """Let go of every connection; the next statement connects again."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool:
            atexit.unregister(self.close)
            pool.close(CLOSE_SECONDS)

    def _note_loss(self, pool: Pool, connection: PooledConnection, problem: Exception) -> None:
        """What breaks one connection seldom breaks it alone: the others are made anew before anybody gets one."""
        if connection.broken:
            pool.drain()
        elif isinstance(problem, _ANOTHER_WOULD_DO) and time.monotonic() > self._stays_until:
            self._stays_until = time.monotonic() + RECONNECT_SECONDS  # there may be no other: not each time
            pool.drain()

    def _take(self) -> tuple[Pool, PooledConnection]:
        while True:
            pool = self._pool or self._open()
            resting = time.monotonic() < self._rests_until
            try:
                return pool, pool.getconn(REST_WAIT_SECONDS if resting else WAIT_SECONDS)
            except PoolTimeout:
                if pool.closed:
                    continue  # by another thread, between the pool's look at that and our waiting: nobody tells us
                self._rests_until = time.monotonic() + REST_SECONDS
                raise Busy("no connection to the database server") from None
            except PoolClosed:
                continue  # another thread has just let go of it: open the next

    def _open(self) -> Pool:
        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._url,
                    connection_class=PooledConnection,
                    kwargs={"autocommit": True},
                    min_size=1,
                    max_size=self._most,
                    configure=_configure,
                    num_workers=1,
                    reconnect_timeout=RECONNECT_SECONDS,
                    name="kodgate",
                    open=True,
                )
                atexit.register(self.close)  # else its threads complain, of a command that just ends
            return self._pool


def full_url(url: str) -> str:
    """With our ways of noticing that the server is gone, unless the URL has its own.

    Of several servers, the one that takes writes is meant.
    """
    try:
        given = conninfo_to_dict(url)
        several = {"target_session_attrs": "read-write"} if "," in str(given.get("host")) else {}
        return make_conninfo(url, **{**_PARAMETERS, **several, **given})
    except psycopg.ProgrammingError as problem:
        raise StoreError(f"DATABASE_URL: {one_line(problem)}") from None


def connect(url: str) -> PooledConnection:
    """A connection of its own. Raises `StoreError` with what the operator can do."""
    try:
        connection = PooledConnection.connect(full_url(url), autocommit=True)
    except psycopg.Error as problem:
        raise StoreError(f"DATABASE_URL: {one_line(problem)}") from None
    if connection.info.server_version < OLDEST:
        version = connection.info.server_version // 10_000
        connection.close()
        raise StoreError(f"DATABASE_URL: PostgreSQL {version} is too old; {OLDEST // 10_000} or newer is needed")
    if (encoding := connection.info.parameter_status("server_encoding")) not in (None, "UTF8"):
        connection.close()
        raise StoreError(
            f"DATABASE_URL: the database's encoding is {encoding}, and UTF8 is needed: "
            "createdb --encoding=UTF8 --template=template0"
        )
    return connection


def _configure(connection: PooledConnection) -> None:
    """Our own ways: a number is a `bigint`, and nobody waits for ever.

    Where no pooler hides whose it is, statements are prepared, and the server gives up what takes too long; as a
    plan may be older than most of its table, it goes by an index (as functions do anywhere, migration 0008).
    """
    connection.hand = connection.cursor(binary=True)
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    connection.patience = SILENT_SECONDS
    pooled = is_pooled(connection)
    connection.prepare_threshold = None if pooled else 1
    if not pooled:
        connection.execute(
            "SELECT set_config('statement_timeout', %s, false), set_config('enable_seqscan', 'off', false),"
            " set_config('jit', 'off', false)",
            (str(round(ANSWER_SECONDS * 1000)),),
        )


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands in between: the server then runs under another number than the one we were told."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is None or row[0] != connection.info.backend_pid


def one_line(problem: BaseException) -> str:
    """What the server or libpq says, without its hints and positions."""
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return lines[0].strip()


def cleaned(values: Sequence[object]) -> Row:
    """Texts as PostgreSQL can hold them."""
    return tuple(_clean(value) for value in values)


def _cleaned(values: Values) -> Values:
    if isinstance(values, Mapping):
        return {name: _clean(value) for name, value in values.items()}
    return cleaned(values)


def _clean(value: object) -> object:
    """Without what PostgreSQL's texts can't hold: NUL, and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return value
