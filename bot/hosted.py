"""The bot process of a hosted site (`KODMOBI_URL`): kod.mobi's own bot converses, here only streams are served.

What changes is learnt by asking: one request every two seconds for each session that somebody listens to, however
many streams that are.
"""

import asyncio
import logging

import httpx
from aiohttp import web

from bot.metrics import metrics_for
from bot.serving import Handler, listen, told_to_stop
from bot.streams import STREAMS, Streams, health
from gateway.clock import Clock, system_clock
from gateway.errors import GatewayError, SessionExpired, Unavailable
from gateway.hosted import hosted_project
from gateway.hosted.asks import channels, progress_of
from gateway.hosted.upstream import LARGEST_ANSWER, Ask, Down, T, Upstream, down
from gateway.keyring import Keyring
from gateway.metrics import PATH, Metrics
from gateway.settings import Settings
from gateway.tokens import LiveClaim
from gateway.verbs import Caller, Progress
from gateway.waiting import wait_for

log = logging.getLogger(__name__)

ASK_EVERY = 2.0  # seconds: as often as a page without a stream would
CONNECTIONS = 100  # to the upstream: 2,000 sessions whose answers take 100 ms


class _Watched:
    """A session that streams listen to: what was last told of it, and who is to be woken."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.listeners: set[asyncio.Event] = set()
        self.asking: asyncio.Task[None] | None = None


class HostedLive(Streams):
    """Streams whose news the upstream is asked for."""

    def __init__(self, config: Settings, clock: Clock = system_clock) -> None:
        super().__init__(Keyring(config.secret_keys), clock, config)
        self._upstream = Upstream(config)
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=CONNECTIONS), follow_redirects=False, trust_env=False
        )
        self._project = hosted_project(config)
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._closing = False

    async def close(self) -> None:
        """End every stream; the browsers come back on their own."""
        self._closing = True
        asking = [watched.asking for watched in self._watched.values() if watched.asking]
        for watched in list(self._watched.values()):
            for listener in watched.listeners:
                listener.set()
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)
        await self._client.aclose()

    async def tell(self, response: web.StreamResponse, claim: LiveClaim) -> None:
        key = (claim.session_id, claim.lang)
        watched = self._watched.setdefault(key, _Watched())
        woken = asyncio.Event()
        watched.listeners.add(woken)
        if watched.asking is None:
            watched.asking = asyncio.create_task(self._keep_asking(claim, watched))
        try:
            await self._tell(response, watched, woken)
        finally:
            watched.listeners.discard(woken)
            if not watched.listeners:
                watched.asking.cancel()
                if self._watched.get(key) is watched:
                    del self._watched[key]

    async def _tell(self, response: web.StreamResponse, watched: _Watched, woken: asyncio.Event) -> None:
        told: Progress | None = None
        while not self._closing:
            woken.clear()
            progress = watched.progress
            if progress is not told and progress is not None:
                await self.write(response, progress)
                told = progress
                if progress.state != "live":
                    return
            await wait_for(woken, self.heartbeat)
            if not woken.is_set():
                await self.beat(response)

    async def _keep_asking(self, claim: LiveClaim, watched: _Watched) -> None:
        """Ask until the session is over; what is news wakes the listeners."""
        caller = Caller(self._project, lang=claim.lang)
        while watched.progress is None or watched.progress.state == "live":
            progress = await self._progress(claim.session_id, caller)
            if progress and (watched.progress is None or _matters(progress) != _matters(watched.progress)):
                watched.progress = progress
                for listener in watched.listeners:
                    listener.set()
            await asyncio.sleep(ASK_EVERY)

    async def _progress(self, session_id: str, caller: Caller) -> Progress | None:
        """Where the session stands; None: it can't be told just now, and the next round asks again."""
        found = None
        try:
            found = await self._ask(channels(caller, session_id))
        except SessionExpired:
            pass
        except GatewayError as refusal:
            log.info("live: %s", refusal.sys_message)
            return None
        except Exception:
            log.exception("live: a defect of ours")
            return None
        return progress_of(found, session_id, caller.project, self.clock)

    async def _ask(self, ask: Ask[T]) -> T:
        """The upstream's answer, asked for once. Raises `GatewayError`."""
        try:
            with self._upstream.asked():
                return await self._once(ask)
        except Down:
            raise Unavailable from None

    async def _once(self, ask: Ask[T]) -> T:
        try:
            async with asyncio.timeout(self._upstream.patience):
                response = await self._client.send(self._upstream.request(ask), stream=True)
                try:
                    body = b""
                    async for more in response.aiter_bytes():
                        body += more
                        if len(body) > LARGEST_ANSWER:
                            raise Down(f"too much from {ask.path}")
                finally:
                    await response.aclose()
        except TimeoutError:
            raise Down(f"too slowly from {ask.path}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise down(problem, ask) from None
        return self._upstream.read(ask, response, body)


def _matters(progress: Progress) -> object:
    """What a page would show differently: not the seconds that pass."""
    return progress.state, progress.deliveries, [(one.type, one.is_active) for one in progress.channels]


async def run(config: Settings, metrics: Metrics) -> None:
    """Serve the live streams until SIGTERM or SIGINT."""
    stop, live = told_to_stop(), HostedLive(config)

    async def healthy(_: web.Request) -> web.Response:
        return health({}, "bot")

    gets: dict[str, Handler] = {"/healthz": healthy, "/live/{token}": live.stream}
    if config.metrics_token:
        metrics.show(lambda: [{"": live.open}], STREAMS)
        gets[PATH] = metrics_for(config.metrics_token, metrics)
    listener = await listen(config, config.live_port, gets)
    log.info("ready on http://%s:%s", config.host, config.live_port)
    await stop.wait()
    await listener.stop()
    await live.close()
    await listener.close()
