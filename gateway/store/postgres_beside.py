"""Code that waits for PostgreSQL, many at once in one thread: `Beside`.

Each runs in a greenlet of the event loop's thread. Where it asks the database, the loop goes on with the others;
what they ask in one turn of the loop is sent at once, over one connection (libpq's pipeline mode), each statement
a transaction of its own as ever. So nobody waits for a round trip but who needs its answer, nobody fights for the
GIL, and a server that is handed many statements at once works through them without going to sleep in between.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

import psycopg
from greenlet import getcurrent, greenlet
from psycopg_pool import PoolTimeout

from gateway.store import Busy
from gateway.store.postgres_line import Line
from gateway.store.postgres_pool import SILENT_SECONDS, PooledConnection, Row, Values, one_line, silent

LINE_SECONDS = 1.0  # then a connection goes back to the pool, which may know that it should not be used any more
TAKE_SECONDS = 0.000_1  # for a free connection: the loop waits as long
AGAIN_SECONDS = 0.01  # between two tries
LOOK_EVERY = 0.5  # seconds between two looks at whether the server says anything, and how old the connection is

T = TypeVar("T")


class Source(Protocol):
    """Where connections come from; see `Connections`."""

    @property
    def patience(self) -> float: ...
    def take(self, patience: float) -> PooledConnection: ...
    def give_back(self, connection: PooledConnection) -> None: ...
    def note(self, connection: PooledConnection, problem: Exception) -> None: ...
    def none_came(self) -> Busy: ...


class Runner(greenlet):
    """One that may ask."""

    beside: "Beside"


class _Question:
    __slots__ = ("asked_at", "asker", "statement", "values")

    def __init__(self, asker: greenlet, asked_at: float, statement: str, values: Values) -> None:
        self.asker = asker
        self.asked_at = asked_at
        self.statement = statement
        self.values = values


class Beside:
    """Runs, in an event loop's thread, what waits for the database."""

    def __init__(self, loop: asyncio.AbstractEventLoop, source: Source) -> None:
        self.loop = loop
        self._source = source
        self._asked: deque[_Question] = deque()
        self._sent: deque[_Question] = deque()
        self._line: Line | None = None
        self._taken_at = 0.0
        self._heard_at = 0.0
        self._will_send = False
        self._looks = False

    def run(self, act: Callable[[], T]) -> asyncio.Future[T]:
        """Begin it at once; what it returns or raises."""
        answer: asyncio.Future[T] = self.loop.create_future()

        def whole() -> None:
            try:
                result = act()
            except Exception as problem:
                if not answer.done():
                    answer.set_exception(problem)
            else:
                if not answer.done():  # else nobody waits for it any more
                    answer.set_result(result)

        runner = Runner(whole)
        runner.beside = self
        runner.switch()
        return answer

    def ask(self, statement: str, values: Values) -> list[Row]:
        """A statement's rows, for a `Runner`. Raises psycopg's errors, and `Busy` where there is no connection."""
        asker = getcurrent()
        self._asked.append(_Question(asker, self.loop.time(), statement, values))
        self._send_soon()
        assert asker.parent  # noqa: S101 - the loop
        rows: list[Row] = asker.parent.switch()
        return rows

    def close(self) -> None:
        """Give back the connection. What is under way ends with its loop."""
        line, self._line = self._line, None
        if line is None:
            return
        if not self.loop.is_closed():
            self.loop.remove_reader(line.socket)
            self.loop.remove_writer(line.socket)
        if self._sent:
            line.break_off()
        self._source.give_back(line.connection if self._sent else line.leave())

    def _send_soon(self, after: float = 0) -> None:
        if not self._will_send:
            self._will_send = True
            if after:
                self.loop.call_later(after, self._send)
            else:
                self.loop.call_soon(self._send)

    def _send(self) -> None:
        self._will_send = False
        now = self.loop.time()
        if self._line and self._taken_at + LINE_SECONDS < now:
            if self._sent:
                return  # once all that is under way is answered, by another connection
            self._leave(self._line)
        line = self._line or self._take(now)
        if line is None:
            return
        if not self._sent:
            self._heard_at = now
        while self._asked:
            question = self._asked.popleft()
            try:
                line.send(question.statement, question.values)
            except psycopg.OperationalError as problem:
                self._sent.append(question)
                self._lost(line, problem)
                return
            except (psycopg.Error, UnicodeEncodeError) as problem:  # a value can't be written
                question.asker.throw(problem)
            else:
                self._sent.append(question)
        self._flush(line)

    def _take(self, now: float) -> Line | None:
        """A connection; where none is free, it is tried again, and who has waited for long enough is told so."""
        try:
            line = Line(self._source.take(TAKE_SECONDS))
        except PoolTimeout:
            patience = self._source.patience
            while self._asked and self._asked[0].asked_at + patience <= now:
                self._asked.popleft().asker.throw(self._source.none_came())
            if self._asked:
                self._send_soon(AGAIN_SECONDS)
            return None
        except Exception as problem:  # a defect: nobody shall wait for ever
            while self._asked:
                self._asked.popleft().asker.throw(problem)
            raise
        self._line, self._taken_at = line, now
        self.loop.add_reader(line.socket, self._receive, line)
        if not self._looks:
            self._looks = True
            self.loop.call_later(LOOK_EVERY, self._look)
        return line

    def _leave(self, line: Line) -> None:
        self.loop.remove_reader(line.socket)
        self._line = None
        self._source.give_back(line.leave())

    def _flush(self, line: Line) -> None:
        try:
            flushed = line.flush()
        except psycopg.OperationalError as problem:
            self._lost(line, problem)
            return
        if not flushed:
            self.loop.add_writer(line.socket, self._flush_on, line)

    def _flush_on(self, line: Line) -> None:
        self.loop.remove_writer(line.socket)
        self._flush(line)

    def _receive(self, line: Line) -> None:
        self._heard_at = self.loop.time()
        try:
            for answer in line.answers():
                self._tell(line, self._sent.popleft(), answer)
        except Exception as problem:
            self._lost(line, problem)
            if not isinstance(problem, psycopg.OperationalError):
                raise
            return
        if self._asked and not self._sent:
            self._send_soon()

    def _tell(self, line: Line, question: _Question, answer: list[Row] | psycopg.Error) -> None:
        if isinstance(answer, list):
            question.asker.switch(answer)
            return
        self._source.note(line.connection, answer)
        self._taken_at = 0.0  # the pool decides whether it is good for more
        question.asker.throw(answer)

    def _lost(self, line: Line, problem: Exception) -> None:
        """Of what was under way nobody knows whether it was done."""
        self.loop.remove_reader(line.socket)
        self.loop.remove_writer(line.socket)
        line.break_off()
        self._line = None
        self._source.note(line.connection, problem)
        self._source.give_back(line.connection)
        sent, self._sent = self._sent, deque()
        for question in sent:
            question.asker.throw(psycopg.OperationalError(one_line(problem)))
        if self._asked:
            self._send_soon()

    def _look(self) -> None:
        """While statements wait, the server says something within the time that it has for one."""
        line, now = self._line, self.loop.time()
        if line and self._sent and self._heard_at + SILENT_SECONDS < now:
            self._lost(line, psycopg.OperationalError(silent(SILENT_SECONDS)))
        elif line and not self._sent and self._taken_at + LINE_SECONDS < now:
            self._leave(line)
        self._looks = self._line is not None
        if self._looks:
            self.loop.call_later(LOOK_EVERY, self._look)
