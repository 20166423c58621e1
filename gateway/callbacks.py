"""Callbacks: one signed POST to the `callback_url` of a server's own message once sending has finished.

The body is the `MessageStatus` (`{message_id, status, channel, to, error, finished_at}`); the header
`x-kodgate-signature: t=<unix seconds>,v1=<hex>` carries HMAC-SHA-256 over `<t>.<body>`, keyed by what also
encrypts codes (gateway.aes256.code_key of the secret key). Any 2xx is taken for an answer; everything else, a
redirect included, is tried again for an hour.
"""

import asyncio
import logging
import socket
from collections import Counter
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gateway.addresses import Network, is_callable, is_callable_url
from gateway.keyring import Unsealable
from gateway.local import LocalGateway
from gateway.manual import status_of
from gateway.settings import Settings
from gateway.signing import SIGNATURE_HEADER, sign
from gateway.store import Busy, Callback
from gateway.waiting import backoff, to_its_end, wait_for

log = logging.getLogger(__name__)

GATHER = 0.05  # seconds: each commit wakes us, hundreds a second, and hardly any makes a callback due
FIRST_RETRY = 2.0  # seconds; doubles, with jitter
LONGEST_RETRY = 300.0
LEASE_SLACK = 5.0  # seconds on top of the timeout, until another process takes a callback over
AT_ONCE = 16  # callbacks under way: receivers are small servers
AT_ONCE_A_HOST = 4  # so that one that hangs does not hold up the others'
HOST_BUSY_RETRY = 1.0  # seconds
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
        self._drain_for = settings.shutdown_seconds
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hosts: Counter[str] = Counter()
        self._http: aiohttp.ClientSession | None = None

    def wake(self) -> None:
        """Something was committed: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Call back until cancelled; then let what is under way end, as far as there is time."""
        try:
            while True:
                self._wake.clear()
                try:
                    wait = await to_its_end(self._store.aside(self._round))
                except Busy as problem:
                    log.warning("the store is busy, callbacks wait: %s", problem)
                    wait = FIRST_RETRY
                await wait_for(self._wake, wait)
                await asyncio.sleep(GATHER)
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._drain_for * 0.8)
            if self._http:
                await self._http.close()

    def _round(self) -> float:
        """Start the callbacks that are due and for which there is room; how many seconds to wait then."""
        room = AT_ONCE - len(self._tasks)
        if room <= 0:
            return 60.0  # the end of one wakes us
        due, now = self._store.next_callback(), self._gateway.clock()
        if due is None:
            return 60.0
        if due > now:
            return (due - now) / 1000
        for callback in self._store.claim_callbacks(now, self._lease, room):
            host = urlsplit(callback.url).netloc
            if self._hosts[host] >= AT_ONCE_A_HOST:
                later = now + round(HOST_BUSY_RETRY * 1000)
                self._store.finish_callback(callback.message.message_id, later, tried=False)
                continue
            self._hosts[host] += 1
            task = asyncio.create_task(self._make(callback, host))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        return 0.001

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _make(self, callback: Callback, host: str) -> None:
        try:
            problem = await self._call(callback)
        except Exception:
            log.exception("callback of message %s: a defect of ours", callback.message.message_id)
            problem = "internal error"
        finally:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
        try:
            await self._store.aside(partial(self._write_down, callback, problem))
        except Busy as problem_of_ours:
            log.warning("the store is busy, a callback waits for its lease: %s", problem_of_ours)

    def _write_down(self, callback: Callback, problem: str | None) -> None:
        number = callback.message.message_id
        if problem is None:
            self._store.finish_callback(number, None)
            return
        wait = backoff(callback.attempts, FIRST_RETRY, LONGEST_RETRY)
        due = self._gateway.clock() + round(wait * 1000)
        if due > (callback.message.finished_at or 0) + self._give_up_after:
            log.warning("callback of message %s given up: %s", number, problem)
            self._store.finish_callback(number, None)
            return
        log.info("callback of message %s: %s; again in %.1f s", number, problem, wait)
        self._store.finish_callback(number, due)

    async def _call(self, callback: Callback) -> str | None:
        """Post once; why it failed, or None."""
        if not is_callable_url(callback.url, self._allowed):
            return "not a public address"
        try:
            body = msgspec.json.encode(status_of(callback.message, self._gateway.keyring))
        except Unsealable:
            return "SECRET_KEYS has lost the key that sealed the message"
        code_keys = partial(self._gateway.projects.code_keys, callback.message.project_id)
        try:
            keys = await self._store.aside(code_keys)
        except Busy as busy:
            return f"the store is busy: {busy}"
        if not keys:
            return "the project has no secret key to sign with"
        # While a key is being rotated, a receiver may still have the old one: each has its turn.
        key = keys[(callback.attempts - 1) % len(keys)]
        headers = {
            "content-type": "application/json",
            SIGNATURE_HEADER: sign(body, key, self._gateway.clock() // 1000),
        }
        try:
            async with self._session.post(
                callback.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                await response.content.read(ANSWER_READ)
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as problem:  # ValueError: a host that is no name
            return f"not reached: {type(problem).__name__}"
        return None if 200 <= response.status < 300 else f"answered {response.status}"

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            # No connection is kept: each is made to an address that was looked at for it.
            connector = aiohttp.TCPConnector(socket_factory=self._socket, force_close=True, use_dns_cache=False)
            self._http = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=self._timeout)
            )
        return self._http

    def _socket(self, address_info: Any) -> socket.socket:
        """A socket for an address about to be connected to, however its name was spelt. Raises `OSError`."""
        return public_socket(address_info, self._allowed)


def public_socket(address_info: Any, allowed: tuple[Network, ...]) -> socket.socket:
    """A socket for one of `getaddrinfo`'s answers. Raises `OSError` where that is not to be called."""
    family, kind, protocol, _, address = address_info
    if not is_callable(address[0], allowed):
        raise OSError("not a public address")
    return socket.socket(family, kind, protocol)
