"""Code that waits for PostgreSQL, many at once in one thread: `Beside`.

Each runs in a greenlet of the event loop's thread. Where it asks the database, the loop goes on with the others;
what they ask goes out one behind the other over one connection (libpq's pipeline mode), each statement a
transaction of its own as ever. So nobody waits for a round trip but who needs its answer, nobody fights for the
GIL, and a server that has been handed many statements works through them without going to sleep in between.

Where one waits for somebody's lock, those behind it wait, too; what comes later goes over another connection.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Protocol, TypeVar

import psycopg
from greenlet import getcurrent, greenlet
from psycopg_pool import PoolTimeout

from gateway.store import Busy
from gateway.store.postgres_line import Line, Question
from gateway.store.postgres_pool import (
    SILENT_SECONDS,
    TAKE_SECONDS,
    PooledConnection,
    Row,
    Values,
    one_line,
    silent,
)

log = logging.getLogger(__name__)

THREADS = 2  # for what waits elsewhere: it is rare
LINE_SECONDS = 1.0  # then a connection goes back to the pool, which may know that it should not be used any more
STUCK_SECONDS = 0.1  # without any answer: then another connection is used beside
AGAIN_SECONDS = 0.01  # between two tries
FLUSH_SECONDS = 0.002  # the same, to write what a socket did not take at once
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


class Beside:
    """Runs, in an event loop's thread, what waits for the database."""

    def __init__(self, loop: asyncio.AbstractEventLoop, source: Source) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self._source = source
        self._threads = ThreadPoolExecutor(THREADS, "kodgate-beside")
        self._context = Context()  # callbacks of ours are no part of the request that happens to begin them
        self._asked: deque[Question] = deque()
        self._line: Line | None = None
        self._former: set[Line] = set()  # which get nothing new, and have still to answer
        self._will_send = self._looks = self._closed = False

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
        self._asked.append(Question(asker, self.loop.time(), statement, values))
        self._send_soon()
        assert asker.parent  # noqa: S101 - the loop
        rows: list[Row] = asker.parent.switch()
        return rows

    def elsewhere(self, act: Callable[[], T]) -> T:
        """What it returns or raises in a thread, for a `Runner`."""
        asker = getcurrent()

        def tell(answer: asyncio.Future[T]) -> None:
            if problem := answer.exception():
                asker.throw(problem)
            else:
                asker.switch(answer.result())

        self.loop.run_in_executor(self._threads, act).add_done_callback(tell, context=self._context)
        assert asker.parent  # noqa: S101 - the loop
        result: T = asker.parent.switch()
        return result

    def close(self) -> None:
        """Give back the connections. Who still waits is told nothing: the loop ends, or its owner does."""
        self._closed = True
        self._threads.shutdown(wait=False)
        self._asked.clear()
        for line in self._lines():
            if line.waits:
                line.break_off()
            self._leave(line)

    def _lines(self) -> list[Line]:
        return [*([self._line] if self._line else []), *self._former]

    def _send_soon(self, after: float = 0) -> None:
        if not self._will_send:
            self._will_send = True
            if after:
                self.loop.call_later(after, self._send, context=self._context)
            else:
                self.loop.call_soon(self._send, context=self._context)

    def _send(self) -> None:
        self._will_send = False
        if self._closed:
            return
        now = self.loop.time()
        line = self._usable(now) or self._take(now)
        if line is None:
            return
        if not line.waits:
            line.heard_at = now
        while self._asked:
            question = self._asked.popleft()
            try:
                line.send(question)
            except psycopg.OperationalError as problem:
                self._lost(line, problem)
                return
            except Exception as problem:  # a value can't be written
                question.asker.throw(problem)
        self._flush(line)

    def _usable(self, now: float) -> Line | None:
        line = self._line
        if line is None:
            return None
        if now < line.taken_at + LINE_SECONDS and not (line.waits and line.heard_at + STUCK_SECONDS < now):
            return line
        self._line = None
        if line.waits:
            self._former.add(line)
        else:
            self._leave(line)
        return None

    def _take(self, now: float) -> Line | None:
        """A connection; where none is free, it is tried again, and who has waited for long enough is told so."""
        connection = None
        try:
            connection = self._source.take(TAKE_SECONDS)  # the loop waits as long
            line = Line(connection)
            self.loop.add_reader(line.socket, self._receive, line)
        except PoolTimeout:
            patience = self._source.patience
            while self._asked and self._asked[0].asked_at + patience <= now:
                self._asked.popleft().asker.throw(self._source.none_came())
            if self._asked:
                self._send_soon(AGAIN_SECONDS)
            return None
        except Exception as problem:  # a defect: nobody shall wait for ever
            if connection:
                self._source.give_back(connection)
            asked, self._asked = self._asked, deque()
            for question in asked:
                question.asker.throw(problem)
            raise
        self._line, line.taken_at = line, now
        if not self._looks:
            self._looks = True
            self.loop.call_later(LOOK_EVERY, self._look, context=self._context)
        return line

    def _flush(self, line: Line) -> None:
        """No writer is registered: one whose socket libpq has closed could not be taken away again."""
        if line is not self._line and line not in self._former:
            return
        try:
            flushed = line.flush()
        except psycopg.OperationalError as problem:
            self._lost(line, problem)
            return
        if not flushed:
            self.loop.call_later(FLUSH_SECONDS, self._flush, line, context=self._context)

    def _receive(self, line: Line) -> None:
        try:
            for question, answer in line.answers():
                line.heard_at = self.loop.time()
                self._tell(line, question, answer)
        except Exception as problem:
            self._lost(line, problem)
            if not isinstance(problem, psycopg.OperationalError):
                raise
            return
        if line in self._former and not line.waits:
            self._leave(line)

    def _tell(self, line: Line, question: Question, answer: list[Row] | Exception) -> None:
        if isinstance(answer, list):
            question.asker.switch(answer)
            return
        self._source.note(line.connection, answer)
        line.taken_at = 0.0  # the pool decides whether it is good for more
        question.asker.throw(answer)

    def _leave(self, line: Line) -> None:
        self._forget(line)
        try:
            line.leave()
        except psycopg.Error as problem:
            log.debug("a connection is given back as it is: %s", problem)
        finally:
            self._source.give_back(line.connection)

    def _lost(self, line: Line, problem: Exception) -> None:
        """Of what was under way nobody knows whether it was done."""
        self._forget(line)
        questions = line.break_off()
        self._source.note(line.connection, problem)
        self._source.give_back(line.connection)
        for question in questions:
            question.asker.throw(psycopg.OperationalError(one_line(problem)))
        if self._asked:
            self._send_soon()

    def _forget(self, line: Line) -> None:
        if self._line is line:
            self._line = None
        self._former.discard(line)
        if not self.loop.is_closed():
            self.loop.remove_reader(line.socket)

    def _look(self) -> None:
        """While statements wait, the server says something within the time that it has for one."""
        self._looks = bool(self._lines())
        if self._looks:
            self.loop.call_later(LOOK_EVERY, self._look, context=self._context)
        now = self.loop.time()
        for line in self._lines():
            if line.waits and line.heard_at + SILENT_SECONDS < now:
                self._receive(line)  # it may be us who were stopped: what has come meanwhile counts
                if line in self._lines() and line.waits and line.heard_at + SILENT_SECONDS < now:
                    self._lost(line, psycopg.OperationalError(silent(SILENT_SECONDS)))
            elif line is self._line and not line.waits and line.taken_at + LINE_SECONDS < now:
                self._leave(line)
