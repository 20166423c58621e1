"""What a live session weighs, and how long the processes take to start."""

import statistics
from pathlib import Path

from bench.figures import Memory
from bench.load import Plan, load
from bench.machine import taken
from bench.running import Site, running
from bench.sizes import Size
from bench.stores import BenchStore

FIRST = 2_000_000
WARM = 500


def measure(store: BenchStore, folder: Path, size: Size) -> Memory:
    """Sessions are created and left alive; each start is from exec to /healthz's 200, the median of some."""
    now = taken(store.version())
    firsts, nexts = [], []
    grew: dict[str, float] = {}
    for turn in range(size.rounds):
        url = store.new(f"memory{turn}")
        with running(store, folder, url) as site:
            firsts.append(site.started)
            if turn == 0:
                grew = _grew(site, size.sessions)
        with running(store, folder, url) as site:
            nexts.append(site.started)
    return Memory(now, size.sessions, grew, _median(firsts), _median(nexts))


def _grew(site: Site, sessions: int) -> dict[str, float]:
    """KiB a session by process."""
    load(Plan(site.port, 16, WARM, FIRST))
    before = site.processes.resident_kib()
    load(Plan(site.port, 16, sessions, FIRST + WARM, create_only=True))
    after = site.processes.resident_kib()
    return {name: round((after[name] - before[name]) / sessions, 2) for name in after}


def _median(starts: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median_low(one[name] for one in starts), 2) for name in starts[0]}
