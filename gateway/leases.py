"""What only one of many processes does at a time: whoever holds the lease, until it ends or is let go."""

import logging
import secrets
from functools import partial

from gateway.clock import Clock
from gateway.store import Busy, Store
from gateway.waiting import to_its_end

log = logging.getLogger(__name__)

ASK_AGAIN_MS = 1000  # how soon after another's lease has ended it is noticed


class Lease:
    """One lease, as one process sees it."""

    def __init__(self, store: Store, clock: Clock, name: str, seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._name = name
        self._holder = secrets.token_hex(8)
        self._length = round(seconds * 1000)
        self._until = 0
        self._ask_at = 0

    async def held(self) -> bool:
        """Whether it is ours; taken, or renewed once a third of it is over.

        While the store is busy, ours stays ours until its end.
        """
        now = self._clock()
        if now >= self._ask_at or self._ask_at > now + self._length + ASK_AGAIN_MS:  # or the clock was put back
            await to_its_end(self._store.aside(partial(self._ask, now)))
        return self.mine

    @property
    def mine(self) -> bool:
        """Whether it was ours when it was last asked for."""
        return self._clock() < self._until

    def _ask(self, now: int) -> None:
        try:
            mine = self._store.hold(self._name, self._holder, now, self._length)
        except Busy as problem:
            log.warning("the store is busy, the lease %s is not renewed: %s", self._name, problem)
            return
        self._until = now + self._length if mine else 0
        self._ask_at = now + (self._length // 3 if mine else min(ASK_AGAIN_MS, self._length))

    def let_go(self) -> None:
        """Another process need not wait for its end."""
        if not self._until:
            return
        self._until = self._ask_at = 0
        try:
            self._store.let_go(self._name, self._holder)
        except Busy as problem:
            log.warning("the store is busy, the lease %s runs out by itself: %s", self._name, problem)
