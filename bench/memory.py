"""What a live session weighs, and how long the processes take to start."""

import statistics
from pathlib import Path

from bench.figures import Memory
from bench.kinds import BenchStore
from bench.load import Plan, load
from bench.machine import taken
from bench.running import Site, running
from bench.sizes import Size

FIRST = 2_000_000
WARM = 500


def measure(store: BenchStore, folder: Path, size: Size) -> Memory:
    """Sessions are created and left alive; each start is from exec to /healthz's 200, the median of some."""
    now, url = taken(store.version()), store.new("memory")
    with running(store, folder, url) as site:
        starts = [site.started]
        grew = _grew(site, size.sessions)
    for _ in range(size.rounds - 1):
        with running(store, folder, url) as site:
            starts.append(site.started)
    median = {name: round(statistics.median_low(one[name] for one in starts), 2) for name in starts[0]}
    return Memory(now, size.sessions, grew, median)


def _grew(site: Site, sessions: int) -> dict[str, float]:
    """KiB a session by process."""
    load(Plan(site.port, 16, WARM, FIRST))
    before = site.processes.resident_kib()
    load(Plan(site.port, 16, sessions, FIRST + WARM, create_only=True))
    after = site.processes.resident_kib()
    return {name: round((after[name] - before[name]) / sessions, 2) for name in after}
