"""Live streams on our own store: a widget's stream is woken by what was committed for its session."""

import asyncio
from collections.abc import Iterable

import msgspec
from aiohttp import web

from bot.streams import Streams
from gateway.channels import SessionChannel
from gateway.errors import SessionExpired
from gateway.events import Events
from gateway.local import LocalGateway
from gateway.settings import Settings
from gateway.tokens import LiveClaim
from gateway.verbs import Caller
from gateway.waiting import wait_for

GRACE_MS = 1000  # a session that expires is told so when it is over for certain


class Live(Streams):
    """Streams that the store's events wake."""

    def __init__(self, gateway: LocalGateway, config: Settings, events: Events) -> None:
        super().__init__(gateway.keyring, gateway.clock, config)
        self._gateway = gateway
        self._events = events
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._closing = False

    def wake(self, sessions: Iterable[str]) -> None:
        """Something was committed for these: wake their streams."""
        for session_id in sessions:
            for listener in self._listeners.get(session_id, ()):
                listener.set()

    def close(self) -> None:
        """End every stream; the browsers come back on their own."""
        self._closing = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.set()

    async def tell(self, response: web.StreamResponse, claim: LiveClaim) -> None:
        woken = asyncio.Event()
        listeners = self._listeners.setdefault(claim.session_id, set())
        listeners.add(woken)
        try:
            await self._tell(response, claim, woken)
        finally:
            listeners.discard(woken)
            if not listeners:
                self._listeners.pop(claim.session_id, None)

    async def _tell(self, response: web.StreamResponse, claim: LiveClaim, woken: asyncio.Event) -> None:
        project = self._gateway.project(claim.project_id)
        if project is None:
            return
        caller = Caller(project, lang=claim.lang)
        told = None
        while not self._closing:
            woken.clear()
            number = self._events.seen
            try:
                progress = self._gateway.progress(caller, claim.session_id)
            except SessionExpired:
                await response.write(b'event: progress\ndata: {"state":"expired"}\n\n')
                return
            news = msgspec.structs.replace(progress, channels=[_still(channel) for channel in progress.channels])
            if news != told or not project.settings.discreet:  # there, that something was sent is no news
                await self.write(response, progress, number)
            told = news
            if progress.state not in ("live", "approved"):  # an approved one is still to be collected
                return
            await self._wait(response, woken, progress.expires_at + GRACE_MS)

    async def _wait(self, response: web.StreamResponse, woken: asyncio.Event, until: int) -> None:
        """Until woken or the session's end, with a comment now and then to keep the connection."""
        while not woken.is_set():
            left = (until - self.clock()) / 1000
            if left <= 0:
                return
            await wait_for(woken, min(self.heartbeat, left))
            if not woken.is_set():
                await self.beat(response)


def _still(channel: SessionChannel) -> SessionChannel:
    """Without its time, which runs by itself."""
    return msgspec.structs.replace(channel, timeout=0)
