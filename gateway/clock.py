"""Time as the gateway sees it: milliseconds since the epoch, handed in so that tests never sleep."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Clock = Callable[[], int]


def system_clock() -> int:
    """Now, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def machine_booted_at() -> int:
    """When this machine booted, in milliseconds since the epoch; 0 where the system does not tell."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            for line in stat:
                if line.startswith("btime "):
                    return int(line.split()[1]) * 1000
    except (OSError, ValueError):
        pass
    return 0


def to_iso(ms: int) -> str:
    """The contract's datetime, `2025-10-28T09:22:48.950Z`."""
    seconds, rest = divmod(ms, 1000)
    return f"{_to_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=64)  # who logs in within the same second shares one
def _to_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
