"""A reverse proxy in front of several processes, with what one expects of nginx or Caddy and no more.

Requests go round; where a connection is refused, nothing was sent, and the next process gets the request. What
breaks off later is an error: to send it again could do it twice.
"""

from collections import Counter
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from bench.processes import free_ports
from tests.looping import LoopThread

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class Balancer:
    """A context manager; `upstreams` may change at any time."""

    def __init__(self, upstreams: Sequence[str] = ()) -> None:
        [self._port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self.upstreams = list(upstreams)
        self.answered: Counter[str] = Counter()
        self.broken: list[str] = []
        self._turn = 0
        self._thread = LoopThread()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> "Balancer":
        self._thread.start()
        self._thread.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._close())
        self._thread.stop()

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, connect=5))
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def _close(self) -> None:
        if self._runner and self._session:
            await self._session.close()
            await self._runner.cleanup()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._turn += 1
        first = self._turn % len(self.upstreams)
        for upstream in self.upstreams[first:] + self.upstreams[:first]:
            try:
                return await self._ask(upstream, request, body)
            except aiohttp.ClientConnectorError:
                continue
            except aiohttp.ClientError as problem:
                self.broken.append(f"{request.method} {request.path}: {type(problem).__name__}")
                return web.Response(status=502)
        return web.Response(status=503)

    async def _ask(self, upstream: str, request: web.Request, body: bytes) -> web.StreamResponse:
        assert self._session
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        async with self._session.request(
            request.method, f"{upstream}{request.path_qs}", headers=headers, data=body, allow_redirects=False
        ) as answer:
            self.answered[upstream] += 1
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
            response = web.StreamResponse(status=answer.status, headers=dict(kept))
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            return response
