"""The bot process of a hosted site (`KODMOBI_URL`): kod.mobi's own bot converses, here only streams are served.

What changes is learnt by asking: one request every two seconds for each page that listens.
"""

import asyncio
import logging

import httpx
from aiohttp import web

from bot.serving import listen, told_to_stop
from bot.streams import Streams, health
from gateway.clock import Clock, system_clock
from gateway.errors import GatewayError, SessionExpired
from gateway.hosted import hosted_project
from gateway.hosted.asks import channels, progress_of
from gateway.hosted.upstream import LARGEST_ANSWER, Ask, Down, T, Upstream
from gateway.keyring import Keyring
from gateway.settings import Settings
from gateway.tokens import LiveClaim
from gateway.verbs import Caller, Progress
from gateway.waiting import wait_for

log = logging.getLogger(__name__)

ASK_EVERY = 2.0  # seconds: as often as a page without a stream would
CONNECTIONS = 100  # to the upstream: 2,000 streams whose answers take 100 ms


class HostedLive(Streams):
    """Streams whose news the upstream is asked for."""

    def __init__(self, config: Settings, clock: Clock = system_clock) -> None:
        super().__init__(Keyring(config.secret_keys), clock, config)
        self._upstream = Upstream(config)
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=CONNECTIONS), follow_redirects=False, trust_env=False
        )
        self._project = hosted_project(config)
        self._closing = asyncio.Event()

    async def close(self) -> None:
        """End every stream; the browsers come back on their own."""
        self._closing.set()
        await self._client.aclose()

    async def tell(self, response: web.StreamResponse, claim: LiveClaim) -> None:
        caller = Caller(self._project, lang=claim.lang)
        told: object = None
        silent = 0.0
        while not self._closing.is_set():
            progress = await self._progress(claim.session_id, caller)
            if progress and (news := _what_matters(progress)) != told:
                await self.write(response, progress)
                told, silent = news, 0.0
                if progress.state != "live":
                    return
            elif silent >= self.heartbeat:
                await self.beat(response)
                silent = 0.0
            await wait_for(self._closing, ASK_EVERY)
            silent += ASK_EVERY

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
        return progress_of(found, session_id, caller.project, self.clock)

    async def _ask(self, ask: Ask[T]) -> T:
        """The upstream's answer, asked for once. Raises `GatewayError`."""
        self._upstream.breaker.enter()
        try:
            answer = await self._once(ask)
        except Down as problem:
            self._upstream.breaker.failed(problem)
            raise GatewayError from None
        except GatewayError:
            self._upstream.breaker.worked()
            raise
        self._upstream.breaker.worked()
        return answer

    async def _once(self, ask: Ask[T]) -> T:
        try:
            response = await self._client.send(self._upstream.request(ask), stream=True)
            try:
                body = b""
                async for more in response.aiter_bytes():
                    body += more
                    if len(body) > LARGEST_ANSWER:
                        raise Down(f"more than {LARGEST_ANSWER} bytes from {ask.path}")
            finally:
                await response.aclose()
        except httpx.HTTPError as problem:
            raise Down(f"{type(problem).__name__} from {ask.path}") from None
        return self._upstream.read(ask, response.status_code, body)


def _what_matters(progress: Progress) -> object:
    """What a page would show differently: not the seconds that pass."""
    return progress.state, progress.deliveries, [(one.type, one.is_active) for one in progress.channels]


async def run(config: Settings) -> None:
    """Serve the live streams until SIGTERM or SIGINT."""
    stop, live = told_to_stop(), HostedLive(config)

    async def healthy(_: web.Request) -> web.Response:
        return health({})

    runner = await listen(config, {"/healthz": healthy, "/live/{token}": live.stream})
    log.info("ready on http://%s:%s", config.host, config.live_port)
    await stop.wait()
    await live.close()
    await runner.cleanup()
