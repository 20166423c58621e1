"""`Door`: granian's RSGI in front of our WSGI application.

granian's own WSGI reads a body in the worker's only thread, so that one who sends it slowly stops everybody. Here
bodies are taken in by the event loop, side by side and for `BODY_SECONDS` at most; a request runs once it is
whole, one at a time. Those of the API that have come by then share a commit (on SQLite), or wait side by side (on
PostgreSQL). With `WEB_THREADS` above 1, what may wait for somebody else than the store runs in threads.
"""

import asyncio
import io
import logging
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol
from wsgiref.types import WSGIApplication

from gateway.headers import security_headers
from gateway.metrics import SHARE_EVERY
from gateway.settings import Settings
from gateway.verbs import Gateway
from web.api import OTHER, action_of, is_quick
from web.assets import PREFIX as ASSETS
from web.cors import Headers
from web.fields import Environ

log = logging.getLogger(__name__)

TOGETHER = 16  # requests at most that share a commit: others wait two or three milliseconds to write meanwhile
_LOOK_EVERY = 1.0  # seconds between two looks for bodies that take too long
_WITHOUT_BODY = frozenset(("GET", "HEAD", "OPTIONS"))
_OFTEN = (
    *("accept", "accept-encoding", "accept-language", "cookie", "host", "origin", "referer", "sec-fetch-site"),
    *("user-agent", "x-api-key", "x-forwarded-for"),
)
Answer = tuple[int, Headers, bytes]
Waiting = tuple[Environ, asyncio.Future[Answer]]


def _key_of(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


_NAMES = {
    "content-type": "CONTENT_TYPE",
    "content-length": "CONTENT_LENGTH",
    **{name: _key_of(name) for name in _OFTEN},
}


class Scope(Protocol):
    """A request, as granian tells it (RSGI 1.6)."""

    method: str
    path: str
    query_string: str
    client: str
    server: str
    scheme: str
    headers: Any


class Transport(Protocol):
    """Where its body comes from and its answer goes (RSGI 1.6)."""

    def __call__(self) -> Any: ...
    def __aiter__(self) -> "Transport": ...
    async def __anext__(self) -> bytes: ...
    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None: ...


class Slow(Exception):
    """The body did not come within `BODY_SECONDS`, or broke off."""


class Door:
    """The RSGI application of one worker."""

    def __init__(self, application: WSGIApplication, config: Settings, gateway: Gateway) -> None:
        self._application = application
        self._gateway = gateway
        self._metrics = gateway.metrics
        self._address = (config.host, config.port)
        self._limit = config.body_limit
        self._seconds = config.body_seconds
        self._pool = ThreadPoolExecutor(config.web_threads) if config.web_threads > 1 else None
        self._may_be_quick = not config.hosted  # an account's verbs wait for the upstream
        self._shares = gateway.together() is not None
        self._waiting: list[Waiting] = []
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._too_slow = [("connection", "close"), *security_headers(config.public_url)]

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        log.info("ready on http://%s:%s", *self._address)
        self._loop = loop
        loop.call_later(_LOOK_EVERY, self._end_slow_ones)
        loop.call_later(SHARE_EVERY, self._share)

    def __rsgi_del__(self, _: asyncio.AbstractEventLoop) -> None:
        if self._pool:
            self._pool.shutdown()
        self._gateway.close()

    async def __rsgi__(self, scope: Scope, transport: Transport) -> None:
        began = time.perf_counter()
        answer = await self._answer_to(scope, transport)
        transport.response_bytes(*answer)
        self._metrics.request(_what(scope), answer[0], time.perf_counter() - began)

    async def _answer_to(self, scope: Scope, transport: Transport) -> Answer:
        environ = environ_of(scope)
        if scope.method not in _WITHOUT_BODY:
            try:
                environ["wsgi.input"] = io.BytesIO(await self._body(environ, transport))
            except Slow:
                return 408, self._too_slow, b""
        quick = self._may_be_quick and is_quick(environ)
        if self._pool and not quick:
            return await self._loop.run_in_executor(self._pool, self._answer, environ)
        if self._shares and quick:
            return await self._with_others(environ)
        return await self._gateway.aside(partial(self._answer, environ))

    def _with_others(self, environ: Environ) -> asyncio.Future[Answer]:
        if not self._waiting:
            self._loop.call_soon(self._answer_those_who_wait)
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((environ, answer))
        return answer

    def _answer_those_who_wait(self) -> None:
        turn, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
        if self._waiting:
            self._loop.call_soon(self._answer_those_who_wait)
        block = self._gateway.together() if len(turn) > 1 else None
        if block is None:
            self._answer_each(turn)
            return
        try:
            with block:
                answers = [self._answer(environ) for environ, _ in turn]
        except Exception as problem:
            log.warning("%s requests were not done together, each is done alone: %s", len(turn), problem)
            for environ, _ in turn:
                environ["wsgi.input"].seek(0)
            self._answer_each(turn)
            return
        for (_, waiting), answer in zip(turn, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)

    def _answer_each(self, turn: list[Waiting]) -> None:
        for environ, waiting in turn:
            if waiting.done():  # nobody waits any more
                continue
            try:
                waiting.set_result(self._answer(environ))
            except Exception as problem:
                waiting.set_exception(problem)

    def _answer(self, environ: Environ) -> Answer:
        begun: list[tuple[int, Headers]] = []

        def start(status: str, headers: Headers, problem: Any = None) -> Callable[[bytes], object]:  # noqa: ARG001
            begun.append((int(status[:3]), headers))
            return begun.append  # type: ignore[return-value]

        chunks = self._application(environ, start)
        body = chunks[0] if isinstance(chunks, list) and len(chunks) == 1 else _joined(chunks)
        return (*begun[-1], body)

    async def _body(self, environ: Environ, transport: Transport) -> bytes:
        """All of it, or, of one above the limit, as much as shows that it is. Raises `Slow`."""
        length = environ.get("CONTENT_LENGTH")
        if length and (not length.isdecimal() or int(length) > self._limit):
            return b""  # refused by its length
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - granian's own
        self._reading[task] = self._loop.time() + self._seconds
        try:
            return await (transport() if length else self._chunks(transport))
        except (asyncio.CancelledError, RuntimeError):  # it took too long, or the connection broke off
            raise Slow from None
        finally:
            del self._reading[task]

    async def _chunks(self, transport: Transport) -> bytes:
        body = b""
        async for chunk in transport:
            body += chunk
            if len(body) > self._limit:
                break
        return body

    def _share(self) -> None:
        self._metrics.share()
        self._loop.call_later(SHARE_EVERY, self._share)

    def _end_slow_ones(self) -> None:
        now = self._loop.time()
        for task, until in self._reading.items():
            if until < now:
                task.cancel()
        self._loop.call_later(_LOOK_EVERY, self._end_slow_ones)


def _what(scope: Scope) -> str:
    """What was asked for, in few words: addresses are endless."""
    action = action_of(scope.path)
    if action != OTHER:
        return action if scope.method != "OPTIONS" else "preflight"
    return "asset" if scope.path.startswith(ASSETS) else "page"


def _joined(chunks: Iterable[bytes]) -> bytes:
    """The body; what makes it may want to be closed (PEP 3333)."""
    try:
        return b"".join(chunks)
    finally:
        if close := getattr(chunks, "close", None):
            close()


def _bytes_as_text(text: str) -> str:
    return text if text.isascii() else text.encode().decode("latin-1")


def environ_of(scope: Scope) -> Environ:
    """The request as WSGI has it (PEP 3333), its body still to come.

    Several headers of one name are joined; names with an underscore, which would pass for others, are left out.
    """
    host, _, port = scope.server.rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": _bytes_as_text(scope.path),
        "QUERY_STRING": _bytes_as_text(scope.query_string),
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input": io.BytesIO(),
    }
    for name, value in scope.headers.items():
        key = _NAMES.get(name)
        if key is None:
            if "_" in name:
                continue
            key = _key_of(name)
        environ[key] = f"{environ[key]}, {value}" if key in environ else value
    return environ
