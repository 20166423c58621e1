"""`Line`: one connection to PostgreSQL with many statements under way at once (libpq's pipeline mode)."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from greenlet import greenlet
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
_MOST_PREPARED = 300  # on a connection; ours are some fifty statements, some with several kinds of values


@dataclass(slots=True, eq=False)
class Question:
    """A statement, who waits for its answer, and since when."""

    asker: greenlet
    asked_at: float
    statement: str
    values: Values


class Line:
    """Statements go out one behind the other, and are answered in that order; each is a transaction of its own.

    `Connection.pipeline` waits for each; this is what lies below it. Raises `psycopg.OperationalError` where the
    connection is lost.
    """

    def __init__(self, connection: PooledConnection) -> None:
        self.connection = connection
        self.socket = connection.pgconn.socket
        self.taken_at = self.heard_at = 0.0
        self._server = connection.pgconn
        self._values = Transformer(connection)
        self._under_way: deque[tuple[Question, Prepared | None, bool]] = deque()
        self._results: list[PGresult] = []  # of the oldest
        self._server.enter_pipeline_mode()

    @property
    def waits(self) -> bool:
        """Whether anything is under way."""
        return bool(self._under_way)

    def send(self, question: Question) -> None:
        """Where a value can't be written this raises, before anything is sent, `psycopg.DataError` or the like."""
        query = PostgresQuery(self._values)
        query.convert(question.statement, question.values)
        known, what = self.connection.prepared, (query.query, query.types)
        name, is_new = known.get(what), False
        if name is None and self.connection.prepare_threshold is not None and len(known) < _MOST_PREPARED:
            is_new, name = True, _NAME % next(self.connection.numbers)
        self._under_way.append((question, what if name else None, is_new))
        if name is None:
            self._server.send_query_params(
                query.query, query.params, query.types, query.formats, result_format=Format.BINARY
            )
        else:
            if is_new:
                known[what] = name
                self._server.send_prepare(name, query.query, query.types)
            self._server.send_query_prepared(name, query.params, query.formats, result_format=Format.BINARY)
        self._server.pipeline_sync()

    def flush(self) -> bool:
        """Whether all is on its way; else again, once more can be written."""
        return not self._server.flush()

    def answers(self) -> Iterator[tuple[Question, list[Row] | Exception]]:
        """What has come: of each statement its rows, or why it was not done.

        After what came it reads again, until there is nothing: the end of a connection may lie right behind a
        message, and uvloop tells of both at once, once.
        """
        in_vain = 0
        while in_vain < 2:
            self._server.consume_input()
            in_vain += 1
            while self._under_way and not self._server.is_busy():
                in_vain = 0
                result = self._server.get_result()
                if result is None and self.connection.closed:
                    raise psycopg.OperationalError(self._server.get_error_message())
                if result and result.status != _SYNC:
                    self._results.append(result)
                elif result:
                    results, self._results = self._results, []
                    question, what, is_new = self._under_way.popleft()
                    yield question, self._answer(results, what, is_new)
            if not self._under_way:
                return

    def leave(self) -> None:
        """Once all is answered, the connection is as it was."""
        self._server.exit_pipeline_mode()

    def break_off(self) -> list[Question]:
        """What was under way, of which nobody will know whether it was done."""
        questions = [question for question, *_ in self._under_way]
        self._under_way.clear()
        if not self.connection.closed:
            self.connection.break_off()
        return questions

    def _answer(self, results: list[PGresult], what: Prepared | None, is_new: bool) -> list[Row] | Exception:
        for result in results:
            if result.status in _FAILED:
                problem = errors.error_from_result(result, self._values.encoding)
                if (is_new and result is results[0]) or isinstance(problem, errors.InvalidSqlStatementName):
                    self.connection.prepared.pop(what, None)  # type: ignore[arg-type]
                return problem
        rows = results[-1]
        if rows.status != _ROWS:
            return []
        try:
            self._values.set_pgresult(rows, format=Format.BINARY)
            return self._values.load_rows(0, rows.ntuples, tuple)
        except Exception as problem:  # a defect; the others are none the worse for it
            return problem
