"""The PostgreSQL store's connections and their pool: psycopg's own, but for how it takes an outage."""

import itertools
import logging
import os
import re
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import ConnectionPool, PoolTimeout

log = logging.getLogger(__name__)
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it tells of each try, two a second; see `trouble`

ANSWER_SECONDS = 2.0  # for a statement, which takes milliseconds: then the server gives it up, and it is undone
SILENT_SECONDS = 2.5  # then we do: the server is stopped, or out of reach, and nobody knows whether it was done
NO_LIMIT = "SET LOCAL statement_timeout = 0"  # for what an operator asks, whatever the role's limit
TRY_SECONDS = 1.0  # between two tries to reach a server that is away; the pool's own become ever rarer
TAKE_SECONDS = 0.000_1  # that whoever asks for a connection has at least
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: at its end the kernel forgets what it has not delivered
_LOOK_UP = 0.1  # seconds, while waiting, until a signal is noticed
_OF_ONE_HOST = re.compile(r"- host: '([^']*)', port: '([^']*)'.*?: (?:connection failed: )?(connection .*)")

T = TypeVar("T")
Row = tuple[Any, ...]
Values = Sequence[object] | Mapping[str, object]
Prepared = tuple[bytes, tuple[int, ...]]
"""A statement, and the types of its values."""


class PooledConnection(psycopg.Connection[Row]):
    """A connection with one cursor at hand: making one costs as much as a small statement.

    Of its statements, none is waited for longer than `patience` seconds.
    """

    hand: psycopg.Cursor[Row]
    patience: float | None = None
    made_at = 0.0
    pool: "Pool | None" = None  # that it is to be given back to
    prepared: dict[Prepared, bytes]
    numbers: Iterator[int]

    def wait(self, gen: PQGen[T], interval: float = _LOOK_UP, timeout: float | None = None) -> T:
        if timeout is not None or self.patience is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience)
        except errors._WaitTimeout:
            self.break_off()
            raise psycopg.OperationalError(silent(self.patience)) from None

    def break_off(self) -> None:
        """What is still to come answers nobody's question; what has not arrived yet shall not be done later."""
        try:
            with socket.socket(fileno=os.dup(self.pgconn.socket)) as ours:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError as problem:
            log.warning("a connection is closed in order, not broken off: %s", problem)
        finally:
            self.pgconn.finish()


class Pool(ConnectionPool[PooledConnection]):
    """As long as the server is away it goes on trying, and keeps nothing of those who wait for it in vain."""

    def __init__(self, url: str, most: int) -> None:
        self.trouble = ""  # why the last try to connect failed
        super().__init__(
            url,
            connection_class=PooledConnection,
            kwargs={"autocommit": True},
            min_size=1,
            max_size=most,
            configure=_configure,
            num_workers=1,
            reconnect_timeout=TRY_SECONDS,
            reconnect_failed=lambda pool: pool.check(),  # which tries again where there is no connection left
            name="kodgate",
            open=True,
        )

    def _connect(self, timeout: float | None = None) -> PooledConnection:
        try:
            connection = super()._connect(timeout)
        except psycopg.Error as problem:
            self.trouble = one_line(problem)
            raise
        self.trouble = ""
        return connection

    def _getconn_unchecked(self, timeout: float) -> PooledConnection:
        """psycopg keeps who has given up in its queue until a connection comes, with all that they were at.

        And it turns away whose time is over before it looks for a free one: who was made to wait by the machine.
        """
        try:
            return super()._getconn_unchecked(max(timeout, TAKE_SECONDS))
        except PoolTimeout:
            with self._lock:
                waiting = [one for one in self._waiting if one.error is None]
                self._waiting.clear()
                self._waiting.extend(waiting)
            raise


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands in between: the server then runs under another number than the one we were told."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is None or row[0] != connection.info.backend_pid


def silent(seconds: float) -> str:
    """What to say of a server that says nothing."""
    return f"no answer from the server within {seconds} s"


def one_line(problem: BaseException) -> str:
    """What the server or libpq says, without its hints and positions; of several servers what each did."""
    text = str(problem).strip()
    if each := _OF_ONE_HOST.findall(text):
        return "; ".join(f"{host}:{port}: {why}" for host, port, why in each)
    lines = text.splitlines() or [type(problem).__name__]
    return lines[0].strip()


def _configure(connection: PooledConnection) -> None:
    """Our own ways: a number is a `bigint`, and nobody waits for ever.

    Where no pooler hides whose it is, statements are prepared, and the server gives up what takes too long; as a
    plan may be older than most of its table, it goes by an index (as functions do anywhere, migration 0008).
    """
    connection.adapters.register_dumper(int, Int8BinaryDumper)  # which a cursor made before would not know
    connection.hand = connection.cursor(binary=True)
    connection.patience = SILENT_SECONDS
    connection.prepared, connection.numbers = {}, itertools.count()  # by `Line`
    connection.made_at = time.monotonic()
    pooled = is_pooled(connection)
    connection.prepare_threshold = None if pooled else 1
    if not pooled:
        connection.execute(
            "SELECT set_config('statement_timeout', %s, false), set_config('enable_seqscan', 'off', false),"
            " set_config('jit', 'off', false)",
            (str(round(ANSWER_SECONDS * 1000)),),
        )
