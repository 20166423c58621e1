"""Callbacks: one signed POST to the `callback_url` of a server's own message once sending has finished.

The body is the `MessageStatus` (`{message_id, status, channel, to, error, finished_at}`); the header
`x-kodgate-signature: t=<unix seconds>,v1=<hex>` carries HMAC-SHA-256 over `<t>.<body>`, keyed by what also
encrypts codes (gateway.aes256.code_key of the secret key). Any 2xx is taken for an answer; everything else, a
redirect included, is tried again for an hour.
"""

import asyncio
import logging
import random
import socket

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.addresses import Network, is_callable, is_callable_url
from gateway.local import LocalGateway
from gateway.manual import status_of
from gateway.settings import Settings
from gateway.signing import SIGNATURE_HEADER, sign
from gateway.store import Busy, Callback
from gateway.waiting import wait_for

log = logging.getLogger(__name__)

FIRST_RETRY = 2.0  # seconds; doubles, with jitter
LONGEST_RETRY = 300.0
LEASE_SLACK = 5.0  # seconds on top of the timeout, until another process takes a callback over
AT_ONCE = 16  # callbacks under way: receivers are small servers
ANSWER_READ = 1024  # bytes of the answer that are read: nothing in them is used


class Callbacks:
    """The callback loop of one process."""

    def __init__(self, gateway: LocalGateway, settings: Settings) -> None:
        self._gateway = gateway
        self._store = gateway.store
        self._allowed = settings.callback_networks
        self._timeout = settings.callback_timeout_seconds
        self._give_up_after = settings.callback_retry_seconds * 1000
        self._lease = round((settings.callback_timeout_seconds + LEASE_SLACK) * 1000)
        self._wake = asyncio.Event()
        self._http: aiohttp.ClientSession | None = None

    def wake(self) -> None:
        """Something was committed: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Call back until cancelled."""
        try:
            while True:
                self._wake.clear()
                try:
                    wait = await self._round()
                except Busy as problem:
                    log.warning("the store is busy, callbacks wait: %s", problem)
                    wait = FIRST_RETRY
                if wait:
                    await wait_for(self._wake, wait)
        finally:
            if self._http:
                await self._http.close()

    async def _round(self) -> float:
        """Make the callbacks that are due; how many seconds to wait then."""
        due = self._store.next_callback()
        now = self._gateway.clock()
        if due is None:
            return 60.0
        if due > now:
            return (due - now) / 1000
        claimed = self._store.claim_callbacks(now, self._lease, AT_ONCE)
        await asyncio.gather(*(self._make(callback) for callback in claimed))
        return 0

    async def _make(self, callback: Callback) -> None:
        problem = await self._call(callback)
        number = callback.message.message_id
        if problem is None:
            self._store.finish_callback(number, None)
            return
        finished_at = callback.message.finished_at or 0
        wait = min(LONGEST_RETRY, FIRST_RETRY * 2 ** (callback.attempts - 1)) * random.uniform(0.5, 1.5)  # noqa: S311
        due = self._gateway.clock() + round(wait * 1000)
        if due > finished_at + self._give_up_after:
            log.warning("callback of message %s given up: %s", number, problem)
            self._store.finish_callback(number, None)
            return
        log.info("callback of message %s: %s; again in %.1f s", number, problem, wait)
        self._store.finish_callback(number, due)

    async def _call(self, callback: Callback) -> str | None:
        """Post once; why it failed, or None."""
        if not is_callable_url(callback.url, self._allowed):
            return "not a public address"
        body = msgspec.json.encode(status_of(callback.message, self._gateway.keyring))
        headers = {"content-type": "application/json", SIGNATURE_HEADER: self._signature(callback, body)}
        try:
            async with self._session.post(
                callback.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                await response.content.read(ANSWER_READ)
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError) as problem:
            return f"not reached: {type(problem).__name__}"
        return None if 200 <= response.status < 300 else f"answered {response.status}"

    def _signature(self, callback: Callback, body: bytes) -> str:
        key = self._gateway.projects.code_keys(callback.message.project_id)[0]
        return sign(body, key, self._gateway.clock() // 1000)

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            # No connection is kept: each is made to an address that was looked at for it.
            connector = aiohttp.TCPConnector(
                resolver=_PublicOnly(self._allowed), force_close=True, use_dns_cache=False
            )
            self._http = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=self._timeout)
            )
        return self._http


class _PublicOnly(AbstractResolver):
    """The system's resolver, less every address that we don't call."""

    def __init__(self, allowed: tuple[Network, ...]) -> None:
        self._allowed = allowed
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        public = [one for one in found if is_callable(one["host"], self._allowed)]
        if not public:
            raise OSError(f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._system.close()
