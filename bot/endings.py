"""How a session ended, told to the providers that want to know: Telegram's Gateway counts conversions by it."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from functools import partial

from gateway.channels import Channel
from gateway.keyring import Unsealable
from gateway.leases import Lease
from gateway.lines import Line
from gateway.local import LocalGateway
from gateway.providers import Curious, SendError
from gateway.settings import Settings
from gateway.store import Busy, EndedSend

log = logging.getLogger(__name__)

RETRY = 2.0  # seconds, where the store is busy
REMEMBERED = 10_000  # messages that a provider was told of: a late report is news of their session once more


class Endings:
    """Looks at sessions that changed, and tells of each message once.

    What a provider could not be told is not tried again: it is a courtesy.

    Of many processes the one with the lease tells; where it dies, what ended until its lease does is not told.
    """

    def __init__(self, gateway: LocalGateway, lines: Mapping[Channel, Line], settings: Settings) -> None:
        self._gateway = gateway
        self._timeout = settings.provider_timeout_seconds
        self._curious = {
            channel: provider
            for channel, line in lines.items()
            for provider in line.providers
            if isinstance(provider, Curious)
        }
        self._lease = Lease(gateway.store, gateway.clock, "endings", settings.lease_seconds)
        self._changed: dict[str, None] = {}
        self._told: dict[tuple[Channel, str], None] = {}
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, sessions: Iterable[str]) -> None:
        """Something was committed for these: look at once."""
        if self._curious:
            self._changed |= dict.fromkeys(sessions)
        if self._changed:
            self._wake.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self._look()
                except Busy as problem:
                    log.warning("the store is busy, endings wait: %s", problem)
                    await asyncio.sleep(RETRY)
                    self._wake.set()
        finally:
            self._lease.let_go()

    async def _look(self) -> None:
        while self._changed:
            if not await self._lease.held():  # it may take longer than the lease, as news goes on coming
                self._changed.clear()
                return
            session_id = next(iter(self._changed))
            del self._changed[session_id]  # what is committed from now on is news
            try:
                ended = await self._gateway.aside(partial(self._gateway.store.ended_sends, session_id))
            except Busy:
                self._changed[session_id] = None
                raise
            for send in ended:
                provider = self._curious.get(send.channel)
                if provider and self._is_first(send):
                    task = asyncio.create_task(self._tell(provider, send))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    def _is_first(self, send: EndedSend) -> bool:
        which = send.channel, send.reference
        if which in self._told:
            return False
        self._told[which] = None
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        return True

    async def _tell(self, provider: Curious, send: EndedSend) -> None:
        try:
            code = None
            if send.state == "used":
                code = await self._gateway.aside(partial(self._gateway.code_of, send))
            async with asyncio.timeout(self._timeout):
                if code is None:
                    await provider.revoke(send.reference)
                else:
                    await provider.checked(send.reference, code)
        except (Busy, SendError, Unsealable, TimeoutError) as problem:
            log.info("%s was not told of a session's end: %s", send.channel, problem or type(problem).__name__)
