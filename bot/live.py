"""Live streams: a widget listens to its session's progress by server-sent events (WHATWG HTML, 9.2)."""

import asyncio
import logging
from typing import Any

import msgspec
from aiohttp import web

from gateway.errors import SessionExpired
from gateway.local import LocalGateway
from gateway.settings import Settings
from gateway.store import Busy
from gateway.tokens import InvalidToken, LiveClaim, live_tokens
from gateway.verbs import Caller

log = logging.getLogger(__name__)

RECONNECT_MS = 1000
GRACE_MS = 1000  # a session that expires is told so when it is over for certain
EVENTS_AT_ONCE = 1000

_HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "access-control-allow-origin": "*",  # the token in the address is the key, and no cookie is read
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}


class Live:
    """The open streams of this process, woken by the store's events."""

    def __init__(self, gateway: LocalGateway, config: Settings) -> None:
        self._gateway = gateway
        self._tokens = live_tokens(gateway.keyring, gateway.clock)
        self._heartbeat = config.live_heartbeat_seconds
        self._most = config.live_streams
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._open = 0
        self._seen = gateway.store.last_event()
        self._encode = msgspec.json.Encoder().encode
        self._closing = False

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._open

    def look(self) -> None:
        """Something was committed: wake the streams that it concerns."""
        try:
            while events := self._gateway.store.events_since(self._seen, EVENTS_AT_ONCE):
                self._seen = events[-1][0]
                for _, session_id in events:
                    for listener in self._listeners.get(session_id, ()):
                        listener.set()
        except Busy as problem:
            log.warning("the store is busy, live streams wait: %s", problem)

    def close(self) -> None:
        """End every stream; the browsers come back on their own."""
        self._closing = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """`GET /live/<token>`: an event `progress` at once and at every change, numbered by the store."""
        try:
            claim, _ = self._tokens.read(request.match_info["token"])
        except InvalidToken:
            raise web.HTTPForbidden(text="This live token is not ours, or too old.") from None
        if self._open >= self._most:
            raise web.HTTPServiceUnavailable(text="Too many live streams.", headers={"retry-after": "5"})
        response = web.StreamResponse(headers=_HEADERS)
        woken = asyncio.Event()
        listeners = self._listeners.setdefault(claim.session_id, set())
        listeners.add(woken)
        self._open += 1
        try:
            await response.prepare(request)
            await response.write(b"retry: %d\n\n" % RECONNECT_MS)
            await self._tell(response, claim, woken)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open -= 1
            listeners.discard(woken)
            if not listeners:
                self._listeners.pop(claim.session_id, None)
        return response

    async def _tell(self, response: web.StreamResponse, claim: LiveClaim, woken: asyncio.Event) -> None:
        project = self._gateway.projects.by_id(claim.project_id)
        if project is None:
            return
        caller = Caller(project, lang=claim.lang)
        while not self._closing:
            woken.clear()
            number = self._seen
            try:
                progress = self._gateway.progress(caller, claim.session_id)
            except SessionExpired:
                await response.write(b'event: progress\ndata: {"state":"expired"}\n\n')
                return
            body = self._encode(progress)
            await response.write(b"id: %d\nevent: progress\ndata: %s\n\n" % (number, body))
            if progress.state != "live":
                return
            await self._wait(response, woken, progress.expires_at + GRACE_MS)

    async def _wait(self, response: web.StreamResponse, woken: asyncio.Event, until: int) -> None:
        """Until woken or the session's end, with a comment now and then to keep the connection."""
        while not woken.is_set():
            left = (until - self._gateway.clock()) / 1000
            if left <= 0:
                return
            try:
                async with asyncio.timeout(min(self._heartbeat, left)):
                    await woken.wait()
            except TimeoutError:
                await response.write(b": still here\n\n")


def health(checks: dict[str, Any]) -> web.Response:
    """`GET /healthz`: 200 only when every check is well (None), else 503 with the reasons."""
    wrong = {name: problem for name, problem in checks.items() if problem}
    status = {"status": "failing", **wrong} if wrong else {"status": "ok", "process": "bot"}
    return web.json_response(status, status=503 if wrong else 200)
