"""What the figures were measured on."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Taken

_LOAD = os.getloadavg()[0]  # before we make our own


def taken(store: str) -> Taken:
    """Now, here, on `store` (its name and version)."""
    return Taken(
        datetime.now(UTC).date().isoformat(),
        _processor(),
        len(os.sched_getaffinity(0)),
        round(memory_mib() / 1024),
        platform.python_version() + (" of the system" if sys.base_prefix == "/usr" else ""),
        store,
        round(_LOAD, 1),
    )


def memory_mib() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
