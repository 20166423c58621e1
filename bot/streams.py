"""Server-sent events (WHATWG HTML, 9.2): what every live stream has in common, wherever its news comes from."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any

import msgspec
from aiohttp import web

from gateway.clock import Clock
from gateway.files import files_allowed
from gateway.keyring import Keyring
from gateway.settings import Settings
from gateway.tokens import InvalidToken, LiveClaim, live_tokens
from gateway.verbs import Progress

log = logging.getLogger(__name__)

RECONNECT_MS = 1000
OTHER_FILES = 256  # of this process: calls to providers and the Bot API, the store, requests that are no stream
STREAMS = ("kodgate_live_streams", "Live streams open in this process", "")

_EVENT = b"event: progress\nretry: %d\ndata: %%s\n\n" % RECONNECT_MS
_HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "access-control-allow-origin": "*",  # the token in the address is the key, and no cookie is read
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}


class Streams(ABC):
    """The open streams of this process."""

    def __init__(self, keyring: Keyring, clock: Clock, config: Settings) -> None:
        self.clock = clock
        self.heartbeat = config.live_heartbeat_seconds
        self._tokens = live_tokens(keyring, clock)
        self._most = _most_streams(config.live_streams)
        self._most_of_one = config.live_streams_session
        self.open = 0
        self._of_session: Counter[str] = Counter()
        self.encode = msgspec.json.Encoder().encode

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """`GET /live/<token>`: an event `progress` at once and at every change."""
        try:
            claim, _ = self._tokens.read(request.match_info["token"])
        except InvalidToken:
            raise web.HTTPForbidden(text="This live token is not ours, or too old.") from None
        session_id = claim.session_id
        if (
            self._of_session[session_id] >= self._most_of_one
        ):  # else whoever has one token takes everybody's streams
            raise web.HTTPTooManyRequests(
                text="Too many live streams of this login.", headers={"retry-after": "5"}
            )
        if self.open >= self._most:
            raise web.HTTPServiceUnavailable(text="Too many live streams.", headers={"retry-after": "5"})
        response = web.StreamResponse(headers=_HEADERS)
        self.open += 1
        self._of_session[session_id] += 1
        try:
            await response.prepare(request)
            await self.tell(response, claim)
        except ConnectionError:
            pass  # the page is gone
        finally:
            self.open -= 1
            self._of_session[session_id] -= 1
            if not self._of_session[session_id]:
                del self._of_session[session_id]
        return response

    @abstractmethod
    async def tell(self, response: web.StreamResponse, claim: LiveClaim) -> None:
        """Write events until the session is over or the process ends."""

    async def write(self, response: web.StreamResponse, progress: Progress, number: int | None = None) -> None:
        """One event, numbered by whoever numbers its news."""
        head = b"" if number is None else b"id: %d\n" % number
        await response.write(head + _EVENT % self.encode(progress))

    @staticmethod
    async def beat(response: web.StreamResponse) -> None:
        """A comment that keeps the connection from being closed on the way."""
        await response.write(b": still here\n\n")


def _most_streams(wished: int) -> int:
    """LIVE_STREAMS, or as many as the open files that the system permits leave room for."""
    allowed = files_allowed()
    room = max(allowed - OTHER_FILES, allowed // 2)
    if room < wished:
        log.warning(
            "%s open files are permitted, so %s live streams at once instead of LIVE_STREAMS=%s: "
            "raise the hard limit (ulimit -Hn; LimitNOFILE= in systemd, --ulimit nofile= in Docker)",
            allowed,
            room,
            wished,
        )
    return min(wished, room)


def health(checks: dict[str, Any], process: str) -> web.Response:
    """`GET /healthz`: 200 only when every check is well (None), else 503 with the reasons."""
    wrong = {name: problem for name, problem in checks.items() if problem}
    status = {"status": "failing", **wrong} if wrong else {"status": "ok", "process": process}
    return web.json_response(status, status=503 if wrong else 200)
