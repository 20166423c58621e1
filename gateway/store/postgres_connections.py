"""How the PostgreSQL store reaches its server: a pool, one statement a verb, and what each error means.

Nothing of a connection's own state is used, so that a pooler in transaction mode (PgBouncer) may stand in between;
only prepared statements are, where none does.
"""

import atexit
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

import psycopg
from greenlet import getcurrent
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolClosed, PoolTimeout

from gateway.store import Busy, StoreError
from gateway.store.postgres_beside import Runner
from gateway.store.postgres_pool import NO_LIMIT, Pool, PooledConnection, Row, Values, one_line

log = logging.getLogger(__name__)

OLDEST = 150_000  # of servers that the tests run on
CONNECT_SECONDS = 5  # to a server that does not answer; as long as SQLite waits for its lock
NEXT_SECONDS = 2  # the same where another may answer; libpq takes no less
WAIT_SECONDS = 2.0  # for a connection; then the visitor is told to come back, and the thread serves others
REST_SECONDS = 1.0  # after that, while which nobody else waits as long
REST_WAIT_SECONDS = 0.05
MOVE_SECONDS = 1.0  # between two looks for another server than one that takes no writes: there may be none
CLOSE_SECONDS = 0.5  # that the pool's threads get to end: they may be waiting for a server that is away
TRIES = 3  # of a statement that lost a deadlock; the locks have one order, so that already one is rare
_PARAMETERS: dict[str, str | int] = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "kodgate",
    "keepalives_idle": 10,  # seconds until a silent server is asked whether it is there
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms until what it does not acknowledge is given up
}
_OF_SEVERAL: dict[str, str | int] = {"target_session_attrs": "read-write", "connect_timeout": NEXT_SECONDS}
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
_ONCE_MORE = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.InvalidSqlStatementName,  # the one before it, which was to prepare it, failed
)
_ANOTHER_WOULD_DO = (
    errors.ReadOnlySqlTransaction,  # the address leads to the primary by now, this connection to the former
    errors.FeatureNotSupported,  # as a standby says it of an unlogged table; or a plan from before a migration
)


class Connections:
    """The connections of one process, opened when first needed. Safe to share between threads."""

    def __init__(self, url: str, most: int) -> None:
        self._url = full_url(url)
        self._most = most
        self._lock = Lock()
        self._pool: Pool | None = None
        self._rests_until = 0.0
        self._let_go_at = 0.0  # of all connections
        self._is_away = False

    def run(self, statement: str, values: Values = ()) -> list[Row]:
        """One statement, which is one transaction; its rows. Raises `Busy`.

        Within `Beside.run`, others go on meanwhile.
        """
        runner = getcurrent()
        ask = runner.beside.ask if isinstance(runner, Runner) else self._ask
        for _ in range(TRIES):
            try:
                return ask(statement, values)
            except _ONCE_MORE as problem:
                lost: str = one_line(problem)
            except (psycopg.DataError, UnicodeEncodeError) as problem:
                former, values = values, _cleaned(values)
                if values == former:
                    raise
                lost = one_line(problem)
            except _NOT_NOW as problem:
                raise Busy(one_line(problem)) from None
        raise Busy(lost)

    def durably(self) -> None:
        """What is committed is on the disk. Raises `Busy`.

        The disk is waited for on a connection of its own, so that nobody who asks something waits behind it.
        """
        runner = getcurrent()
        if isinstance(runner, Runner):
            runner.beside.elsewhere(self.durably)
        else:
            self.run("SELECT durably()")

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Cursor[Row]]:
        """Several statements in one transaction. Raises `Busy`."""
        try:
            with self._taken() as connection, connection.transaction():
                yield connection.hand
        except _NOT_NOW as problem:
            raise Busy(one_line(problem)) from None

    def close(self) -> None:
        """Let go of every connection; the next statement connects again."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool:
            atexit.unregister(self.close)
            pool.close(CLOSE_SECONDS)

    def take(self, patience: float) -> PooledConnection:
        """A connection, to be given back. Raises `PoolTimeout` after so many seconds."""
        while True:
            pool = self._pool or self._open()
            try:
                connection = pool.getconn(patience)
            except PoolTimeout:
                if pool.closed:
                    continue  # by another thread, between the pool's look at that and our waiting: nobody tells us
                raise
            except PoolClosed:
                continue  # another thread has just let go of it: open the next
            if self._is_away:
                self._is_away = False
                log.info("the database server is there again")
            connection.pool = pool
            return connection

    @property
    def patience(self) -> float:
        """How many seconds to wait for a connection at most."""
        return REST_WAIT_SECONDS if time.monotonic() < self._rests_until else WAIT_SECONDS

    def none_came(self) -> Busy:
        """What to tell who has waited for as long."""
        self._rests_until = time.monotonic() + REST_SECONDS
        return Busy(self._why_none())

    def note(self, connection: PooledConnection, problem: Exception) -> None:
        """What breaks one connection, or leaves it at the wrong server, seldom happens to it alone: let go of all.

        Not of those that were made since, when one of the former turns out to be broken, too.
        """
        if not isinstance(problem, _NOT_NOW):
            return
        now = time.monotonic()
        moved = isinstance(problem, _ANOTHER_WOULD_DO) and now > self._let_go_at + MOVE_SECONDS
        if connection.pool and connection.made_at > self._let_go_at and (connection.broken or moved):
            self._let_go_at = now
            connection.pool.drain()

    def give_back(self, connection: PooledConnection) -> None:
        """Whatever has become of it."""
        pool, connection.pool = connection.pool, None
        assert pool  # noqa: S101 - it was taken
        pool.putconn(connection)

    @contextmanager
    def _taken(self) -> Iterator[PooledConnection]:
        """Raises `Busy`."""
        try:
            connection = self.take(self.patience)
        except PoolTimeout:
            raise self.none_came() from None
        try:
            yield connection
        except Exception as problem:
            self.note(connection, problem)
            raise
        finally:
            self.give_back(connection)

    def _ask(self, statement: str, values: Values) -> list[Row]:
        with self._taken() as connection:
            cursor = connection.hand.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def _why_none(self) -> str:
        pool = self._pool
        if not pool or not pool.trouble:
            return "no connection to the database server is free"
        if not self._is_away:
            self._is_away = True
            log.warning("the database server is away: %s", pool.trouble)
        return f"no connection to the database server: {pool.trouble}"

    def _open(self) -> Pool:
        with self._lock:
            if self._pool is None:
                self._pool = Pool(self._url, self._most)
                atexit.register(self.close)  # else its threads complain, of a command that just ends
            return self._pool


def full_url(url: str) -> str:
    """With our ways of noticing that the server is gone, unless the URL has its own.

    Of several servers, the one that takes writes is meant. (Those of a `service` are not seen here.)
    """
    try:
        given = conninfo_to_dict(url)
        ours = _PARAMETERS | (_OF_SEVERAL if _names_several(given) else {})
        if "PGTARGETSESSIONATTRS" in os.environ:
            ours.pop("target_session_attrs", None)
        return make_conninfo(url, **{**ours, **given})
    except psycopg.ProgrammingError as problem:
        raise StoreError(f"DATABASE_URL: {one_line(problem)}") from None


def _names_several(given: Mapping[str, Any]) -> bool:
    """Whether there is more than one host, by the URL or by libpq's environment."""
    named = (given.get(name) or os.environ.get(f"PG{name.upper()}", "") for name in ("host", "hostaddr"))
    return any("," in str(one) for one in named)


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


@contextmanager
def unhurried(url: str) -> Iterator[psycopg.Cursor[Row]]:
    """A transaction on a connection of its own, for as long as it takes: what an operator asks may read a whole
    table, and no visitor waits for it. Raises `StoreError` where there is no connection, and `Busy`.
    """
    try:
        with closing(connect(url)) as connection, connection.transaction():
            connection.prepare_threshold = None  # a pooler may hand on what was prepared
            connection.execute(NO_LIMIT)
            yield connection.cursor()
    except _NOT_NOW as problem:
        raise Busy(one_line(problem)) from None


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
