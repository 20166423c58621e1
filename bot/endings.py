"""How a session ended, told to the providers that want to know: Telegram's Gateway counts conversions by it."""

import asyncio
import logging
from collections.abc import Mapping

from gateway.channels import Channel
from gateway.keyring import Unsealable
from gateway.lines import Line
from gateway.local import LocalGateway
from gateway.providers import Curious, SendError
from gateway.settings import Settings
from gateway.store import Busy, EndedSend

log = logging.getLogger(__name__)

EVENTS_AT_ONCE = 1000
RETRY = 2.0  # seconds, where the store is busy


class Endings:
    """Follows the store's events. What a provider could not be told is not tried again: it is a courtesy."""

    def __init__(self, gateway: LocalGateway, lines: Mapping[Channel, Line], settings: Settings) -> None:
        self._gateway = gateway
        self._timeout = settings.provider_timeout_seconds
        self._curious = {
            channel: provider
            for channel, line in lines.items()
            for provider in line.providers
            if isinstance(provider, Curious)
        }
        self._seen = gateway.store.last_event()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Something was committed: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._curious:
                continue
            try:
                self._look()
            except Busy as problem:
                log.warning("the store is busy, endings wait: %s", problem)
                await asyncio.sleep(RETRY)
                self._wake.set()

    def _look(self) -> None:
        store = self._gateway.store
        while events := store.events_since(self._seen, EVENTS_AT_ONCE):
            for session_id in dict.fromkeys(session_id for _, session_id in events):
                for send in store.ended_sends(session_id):
                    if provider := self._curious.get(send.channel):
                        task = asyncio.create_task(self._tell(provider, send))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
            self._seen = events[-1][0]

    async def _tell(self, provider: Curious, send: EndedSend) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                if send.state == "used":
                    await provider.checked(send.reference, self._gateway.code_of(send))
                else:
                    await provider.revoke(send.reference)
        except (SendError, Unsealable, TimeoutError) as problem:
            log.info("%s was not told of a session's end: %s", send.channel, problem or type(problem).__name__)
