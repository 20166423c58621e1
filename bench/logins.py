"""What a login costs as a whole, and how long it takes where there is room: create and check from outside."""

import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import floor
from bench.figures import HalfRow, LoginRow, Logins, Spread, spread
from bench.kinds import BenchStore
from bench.load import Plan, Result, load
from bench.machine import taken
from bench.processes import Processes
from bench.running import Site, running
from bench.sizes import Size

CONNECTIONS = (1, 16, 64)
WARM = 500
OPEN_CONNECTIONS = 256  # of an open loop: enough that none is waited for
MOST = 49_000  # logins of one load

_phones: Iterator[int] = itertools.cycle(range(2_000_000, 9_950_000, 50_000))


def measure(store: BenchStore, folder: Path, size: Size) -> Logins:
    """CPU of every process and latencies, sending off and by webhook, as fast as it goes."""
    now = taken(store.version())
    answer = floor.answer_ms(folder, size.logins, size.rounds)
    bare = [store.bare_ms(store.new(f"bare{number}"), size.logins) for number in range(size.rounds)]
    sql = min(bare, key=lambda cost: sum(cost.values()))
    with running(store, folder, store.new("logins")) as site:
        _warm(site)
        kinds = itertools.product((False, True), CONNECTIONS)
        rows = [_row(site, connections, sent, size) for sent, connections in kinds]
        half = [_half(site, sent, rows, size) for sent in (False, True)]
        peak = {name: round(mib, 1) for name, mib in site.processes.peak_mib().items()}
    return Logins(now, round(answer, 4), _rounded(sql), rows, half, peak)


def cpu_ms(processes: Processes, plan: Plan) -> tuple[dict[str, float], Result]:
    """What each process spent on a login of this load, and what came of it."""
    before = processes.cpu_seconds()
    result = load(plan)
    after = processes.cpu_seconds()
    return {name: (after[name] - before[name]) / plan.logins * 1000 for name in after}, result


@dataclass
class _Run:
    """In the order of their cost, for the median."""

    cpu_ms: dict[str, float]
    result: Result

    def __lt__(self, other: "_Run") -> bool:
        return sum(self.cpu_ms.values()) < sum(other.cpu_ms.values())


def _row(site: Site, connections: int, sent: bool, size: Size) -> LoginRow:
    count = size.logins if connections > 1 else size.logins // (16 if sent else 4)
    sink = site.sink if sent else 0
    runs = [
        _Run(*cpu_ms(site.processes, Plan(site.port, connections, count, next(_phones), sink)))
        for _ in range(size.rounds)
    ]
    run = statistics.median_low(runs)
    return LoginRow(
        connections,
        sent,
        _rounded(run.cpu_ms),
        round(count / run.result.seconds),
        spread(run.result.create),
        spread(run.result.check),
        _delivered(run.result),
    )


def _half(site: Site, sent: bool, rows: list[LoginRow], size: Size) -> HalfRow:
    """An open loop at half of the most logins a second that were measured."""
    rate = max(row.a_second for row in rows if row.sent is sent) / 2
    count = min(round(rate * size.half_seconds), MOST)
    result = load(Plan(site.port, OPEN_CONNECTIONS, count, next(_phones), site.sink if sent else 0, rate))
    return HalfRow(sent, rate, spread(result.create), spread(result.check), _delivered(result))


def _delivered(result: Result) -> Spread | None:
    return spread(result.delivered) if result.delivered else None


def _warm(site: Site) -> None:
    for sink in (0, site.sink):
        load(Plan(site.port, 16, WARM, next(_phones), sink))


def _rounded(costs: dict[str, float]) -> dict[str, float]:
    return {name: round(cost, 4) for name, cost in costs.items()}
