"""What every bot process does, whatever it serves: listen, until it is told to stop."""

import asyncio
import logging
import os
import signal
import socket
import sys
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.headers import security_headers
from gateway.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("aiohttp.server")

LARGEST_BODY = 256 * 1024  # bytes: providers report several messages at once
LEFT_SECONDS = 0.5  # for what is still at work when the time to end in order is over
ARRIVE_SECONDS = 0.2  # from a connection to its request, through a proxy that makes one for each
BACKLOG = 1024  # connections that wait to be accepted: a thousand pages come back at once after a restart


def told_to_stop() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def run_and_leave(process: Coroutine[Any, Any, None]) -> NoReturn:
    """Run it to its end, and end this process with its exit code, whatever its threads are still at.

    A name server that says nothing holds a lookup's thread for up to 20 s, and the interpreter would wait for it:
    longer than an orderly stop may take.
    """
    code = 0
    try:
        asyncio.Runner().run(_with_all_that_it_began(process))
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _with_all_that_it_began(process: Coroutine[Any, Any, None]) -> None:
    """Tasks that are left get a moment to give back what they hold."""
    try:
        await process
    finally:
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=LEFT_SECONDS)


async def body_of(request: web.Request) -> bytes:
    """Raises `HTTPBadRequest`, which nobody hears, where it breaks off."""
    try:
        return await request.read()
    except ConnectionError:
        raise web.HTTPBadRequest from None


def _is_ours(record: logging.LogRecord) -> bool:
    """Not what is no HTTP: aiohttp would write it down whole, a live token in its address included."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _route(router: web.UrlDispatcher, gets: Mapping[str, Handler], posts: Mapping[str, Handler]) -> None:
    """All that can be asked for, and what is said to the rest.

    aiohttp would say that by itself, but it answers an `Expect` that is no text with 500 and a traceback.
    """
    allowed: defaultdict[str, list[str]] = defaultdict(list)
    for path, handler in gets.items():
        router.add_get(path, handler, expect_handler=_go_on)
        allowed[path] += ["GET", "HEAD"]
    for path, handler in posts.items():
        router.add_post(path, handler, expect_handler=_go_on)
        allowed[path].append("POST")
    for path, methods in allowed.items():
        router.add_route("*", path, _only(methods), expect_handler=_go_on)
    router.add_route("*", "/{path:.*}", _not_found, expect_handler=_go_on)


async def _go_on(request: web.Request) -> None:
    """The answer to an `Expect` header, before the body comes (RFC 9110, 10.1.1)."""
    if request.version < HttpVersion11:
        return
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # nothing of the answer itself


def _only(methods: list[str]) -> Handler:
    async def refuse(request: web.Request) -> NoReturn:
        raise web.HTTPMethodNotAllowed(request.method, methods)

    return refuse


async def _not_found(_: web.Request) -> NoReturn:
    raise web.HTTPNotFound


class Listener:
    """A server that listens."""

    def __init__(self, runner: web.AppRunner, handlers: web.Server, server: asyncio.Server) -> None:
        self._runner = runner
        self._handlers = handlers
        self._server = server

    async def stop(self) -> None:
        """Let nobody new in. Who has connected by now, accepted or not, gets ARRIVE_SECONDS to ask.

        The kernel would reset those not yet accepted, asyncio drops those that it is just accepting, and aiohttp
        closes those that have asked nothing.
        """
        loop = asyncio.get_running_loop()
        listening = [socket.socket(fileno=os.dup(one.fileno())) for one in self._server.sockets]
        for one in self._server.sockets:
            loop.remove_reader(one)
        await asyncio.sleep(0)
        self._server.close()
        for connection in [connection for one in listening for connection in _accepted(one)]:
            await loop.connect_accepted_socket(self._handlers, connection)
        if self._handlers.connections:
            await asyncio.sleep(ARRIVE_SECONDS)

    async def close(self) -> None:
        """Let answers under way end."""
        self._server.close()
        await self._runner.cleanup()


def _accepted(listening: socket.socket) -> list[socket.socket]:
    """All that wait, and then nobody can any more."""
    connections = []
    with listening, suppress(BlockingIOError):
        listening.setblocking(False)
        while True:
            connections.append(listening.accept()[0])
    return connections


async def listen(
    config: Settings, port: int, gets: Mapping[str, Handler], posts: Mapping[str, Handler] | None = None
) -> Listener:
    """Serve on HOST."""
    app = web.Application(client_max_size=LARGEST_BODY)
    _route(app.router, gets, posts or {})
    headers = security_headers(config.public_url)

    async def protect(_: web.Request, response: web.StreamResponse) -> None:
        for name, value in headers:
            response.headers.setdefault(name, value)

    app.on_response_prepare.append(protect)
    log.addFilter(_is_ours)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=config.shutdown_seconds * 0.8)
    await runner.setup()
    host = None if config.host == "::" else config.host  # as web does; asyncio's own `::` leaves IPv4 out
    handlers = runner.server
    assert handlers  # noqa: S101 - it is set up
    server = await asyncio.get_running_loop().create_server(handlers, host, port, backlog=BACKLOG)
    return Listener(runner, handlers, server)
