"""`Watch` on PostgreSQL: LISTEN on a connection of its own, to which the functions of the store NOTIFY."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import psycopg

from gateway.store import Busy, StoreError
from gateway.store.postgres_connections import Connections, connect
from gateway.store.postgres_pool import PooledConnection, is_pooled

log = logging.getLogger(__name__)

CHANNEL = "kodgate"
HEARD_WITHIN = 1.0  # seconds: a pooler in transaction mode forgets who listens
POLL_EVERY = 0.25  # seconds between two looks where nobody can listen: what a waiting message may cost
RECONNECT_EVERY = 1.0  # seconds
GATHER = 0.005  # seconds: what is committed meanwhile is looked at together


class PostgresWatch:
    """Listens; where that is impossible (a pooler in between), it tells to look now and then."""

    def __init__(self, url: str, connections: Connections) -> None:
        self._url = url
        self._connections = connections
        self._polls = False
        self._connection = self._listen()

    async def changed(self, timeout: float) -> bool:
        if self._polls:
            await asyncio.sleep(min(timeout, POLL_EVERY))
            return True
        if self._connection is None:
            return await self._reconnect(timeout)
        try:
            if not self._drain(self._connection) and not await self._heard(self._connection, timeout):
                return False
            await asyncio.sleep(GATHER)
            self._drain(self._connection)
        except psycopg.Error as problem:
            log.warning("the database server no longer tells of changes, connecting again: %s", problem)
            self.close()
        return True  # after a loss as well: nobody knows what was missed

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    async def _reconnect(self, timeout: float) -> bool:
        await asyncio.sleep(min(timeout, RECONNECT_EVERY))
        with suppress(StoreError, Busy, psycopg.Error):  # the pool may come back later than we do
            self._connection = await asyncio.to_thread(self._listen)
            return True
        return False

    def _listen(self) -> PooledConnection | None:
        connection = connect(self._url)
        try:
            connection.execute(f"LISTEN {CHANNEL}")
            hears = not is_pooled(connection) or self._hears(connection)
        except BaseException:
            connection.close()
            raise
        if not hears:
            connection.close()
            self._polls = True
            log.warning(
                "DATABASE_URL leads through a pooler on which LISTEN does not work, so that messages and live "
                "events wait up to %.2f s: set DATABASE_LISTEN_URL to the server itself",
                POLL_EVERY,
            )
            return None
        return connection

    def _hears(self, connection: PooledConnection) -> bool:
        self._connections.run("SELECT wake()")
        return any(True for _ in connection.notifies(timeout=HEARD_WITHIN, stop_after=1))

    @staticmethod
    def _drain(connection: psycopg.Connection[Any]) -> bool:
        """Read what came; whether there was a notification in it. Raises `psycopg.OperationalError`."""
        connection.pgconn.consume_input()
        heard = False
        while connection.pgconn.notifies():
            heard = True
        return heard

    async def _heard(self, connection: PooledConnection, timeout: float) -> bool:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        descriptor = connection.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    await readable.wait()
                    readable.clear()
                    if self._drain(connection):
                        return True
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
