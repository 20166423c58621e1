"""Time as the gateway sees it: milliseconds since the epoch, handed in so that tests never sleep."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Clock = Callable[[], int]

AHEAD = 60_000
"""By how many milliseconds the clocks of our machines may differ, at most. What is dated further in the future is
from before a clock was put back."""


def system_clock() -> int:
    """Now, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def machine_booted_at() -> int:
    """When this machine booted, in milliseconds since the epoch, by the clock as it is now: asked each time, it
    follows a clock that is put right. 0 where the system does not tell.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1_000_000


class SetBack:
    """Tells when a clock was put back."""

    def __init__(self, clock: Clock, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._most = self._ahead()

    def by(self) -> int:
        """By how many milliseconds, since it was last told; 0: by none that matter."""
        ahead = self._ahead()
        back = self._most - ahead
        self._most = ahead if back > AHEAD else max(ahead, self._most)
        return back if back > AHEAD else 0

    def _ahead(self) -> int:
        return self._clock() - round(self._elapsed() * 1000)


class LivedTime:
    """A clock that a jump forward does not move: what is deleted by it was really there for so long.

    It goes back with its clock, and from then on no faster than time, until that has kept time for `trusts_after`
    ms: what is kept for as long, and was there at the jump, has been there for so long by then.
    """

    def __init__(self, clock: Clock, trusts_after: int, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._trusts_after = trusts_after
        self._elapsed = elapsed
        self._at = clock()
        self._seen = self._steady_since = elapsed()
        self.behind = 0
        """By how many ms it is behind its clock, when both were last asked."""

    @property
    def steady_for(self) -> float:
        """For how many seconds its clock had kept time, when both were last asked."""
        return self._seen - self._steady_since

    def __call__(self) -> int:
        elapsed, now = self._elapsed(), self._clock()
        lived = self._at + round((elapsed - self._seen) * 1000)
        if abs(now - lived - self.behind) > AHEAD:
            self._steady_since = elapsed
        elif (elapsed - self._steady_since) * 1000 >= self._trusts_after:
            lived = now
        self._at, self._seen = min(now, lived), elapsed
        self.behind = now - self._at
        return self._at


def to_iso(ms: int) -> str:
    """The contract's datetime, `2025-10-28T09:22:48.950Z`."""
    seconds, rest = divmod(ms, 1000)
    return f"{_to_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=64)  # who logs in within the same second shares one
def _to_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
