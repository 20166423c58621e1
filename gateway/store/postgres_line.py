"""`Line`: one connection to PostgreSQL with many statements under way at once (libpq's pipeline mode)."""

from collections import deque
from collections.abc import Iterator

import psycopg
from psycopg import errors
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

from gateway.store.postgres_pool import PooledConnection, Prepared, Row, Values

_SYNC = ExecStatus.PIPELINE_SYNC
_ROWS = ExecStatus.TUPLES_OK
_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED)
_NAME = b"kodgate_%d"  # psycopg has names of its own


class Line:
    """Statements go out in order, and are answered in that order; each is a transaction of its own.

    `Connection.pipeline` sends each statement by itself, and waits; this is what lies below it. Raises
    `psycopg.OperationalError` where the connection is lost.
    """

    def __init__(self, connection: PooledConnection) -> None:
        self.connection = connection
        self._server = connection.pgconn
        self._values = Transformer(connection)
        self._under_way: deque[Prepared | None] = deque()  # what is prepared by each statement
        self._results: list[PGresult] = []  # of the oldest
        self.socket = self._server.socket
        self._server.enter_pipeline_mode()

    def send(self, statement: str, values: Values) -> None:
        """Raises `psycopg.DataError` and the like, before anything is sent, where a value can't be written."""
        query = PostgresQuery(self._values)
        query.convert(statement, values)
        if self.connection.prepare_threshold is None:
            self._server.send_query_params(
                query.query, query.params, query.types, query.formats, result_format=Format.BINARY
            )
            self._under_way.append(None)
        else:
            self._send_prepared(query)
        self._server.pipeline_sync()

    def flush(self) -> bool:
        """Whether all is on its way; else again, once more can be written."""
        return not self._server.flush()

    def answers(self) -> Iterator[list[Row] | psycopg.Error]:
        """What has come: of each statement its rows, or why it was not done."""
        server = self._server
        server.consume_input()
        while self._under_way and not server.is_busy():
            result = server.get_result()
            if result is None:
                if self.connection.closed:
                    raise psycopg.OperationalError(self._server.get_error_message())
                continue
            if result.status != _SYNC:
                self._results.append(result)
                continue
            results, self._results = self._results, []
            yield self._answer(results, self._under_way.popleft())

    def leave(self) -> PooledConnection:
        """The connection as it was, once all is answered."""
        self._server.exit_pipeline_mode()
        return self.connection

    def break_off(self) -> None:
        if not self.connection.closed:
            self.connection.break_off()

    def _send_prepared(self, query: PostgresQuery) -> None:
        known, what = self.connection.prepared, (query.query, query.types)
        name = known.get(what)
        if name is None:
            name = known[what] = _NAME % next(self.connection.numbers)
            self._server.send_prepare(name, query.query, query.types)
            self._under_way.append(what)
        else:
            self._under_way.append(None)
        self._server.send_query_prepared(name, query.params, query.formats, result_format=Format.BINARY)

    def _answer(self, results: list[PGresult], prepared: Prepared | None) -> list[Row] | psycopg.Error:
        for result in results:
            if result.status in _FAILED:
                if prepared and result is results[0]:
                    del self.connection.prepared[prepared]
                return errors.error_from_result(result, self._values.encoding)
        rows = results[-1]
        if rows.status != _ROWS:
            return []
        self._values.set_pgresult(rows, format=Format.BINARY)
        return self._values.load_rows(0, rows.ntuples, tuple)
