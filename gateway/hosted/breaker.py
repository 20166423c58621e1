"""A circuit breaker: after so many failures in a row it answers at once, and lets a trial through now and then."""

import logging
import threading
import time
from collections.abc import Callable

from gateway.errors import Unavailable

log = logging.getLogger(__name__)


class Breaker:
    """Safe to share between threads. While it is open, one request at a time goes through as a trial."""

    def __init__(
        self, failures: int, rest: float, clock: Callable[[], float] = time.monotonic, what: str = "the upstream"
    ) -> None:
        self._most = failures
        self._rest = rest
        self._clock = clock
        self._what = what
        self._lock = threading.Lock()
        self._failed = 0
        self._rests_until = 0.0
        self._trial = False

    def enter(self) -> None:
        """Before a request. Raises `Unavailable` with the seconds to wait."""
        with self._lock:
            if self._failed < self._most:
                return
            left = self._rests_until - self._clock()
            if left > 0 or self._trial:
                raise Unavailable(timeout=max(1, round(left)))
            self._trial = True

    def release(self) -> None:
        """It can't be told whether it would have: the request itself was at fault."""
        with self._lock:
            self._trial = False

    def worked(self) -> None:
        """The upstream answered as the contract says, a refusal included."""
        with self._lock:
            if self._failed >= self._most:
                log.warning("%s answers again", self._what)
            self._failed, self._trial = 0, False

    def failed(self, reason: object) -> None:
        """It did not."""
        with self._lock:
            self._failed += 1
            self._trial = False
            if self._failed >= self._most:
                self._rests_until = self._clock() + self._rest
                log.warning("%s is down, asked again in %s s: %s", self._what, self._rest, reason)
            else:
                log.warning("%s failed: %s", self._what, reason)
