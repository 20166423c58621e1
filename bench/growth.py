"""What a login costs as data grows: the same load on databases with ever more people in them, in turns."""

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from bench.figures import Growth, GrowthRow, spread
from bench.kinds import BenchStore
from bench.load import Plan, known_phone, load
from bench.logins import cpu_ms
from bench.machine import taken
from bench.processes import SECRET
from bench.running import Site, running
from bench.sizes import Size
from gateway.bootstrap import build_gateway
from gateway.keyring import Destinations
from gateway.settings import Settings

FIRST = 2_000_000  # the phone of the first new person
WARM = 200


def measure(store: BenchStore, folder: Path, size: Size) -> Growth:
    """CPU at 16 connections with a webhook send, latencies of one visitor who is alone, sending off.

    Half of the logins are by known people, anywhere in the database, half by new ones.
    """
    now = taken(store.version())
    filled = {people: _fill(store, store.new(f"growth{people}"), people) for people in size.growth}
    grown = {people: _Grown(people) for people in filled}
    with ExitStack() as stack:
        sites = {people: stack.enter_context(running(store, folder, url)) for people, (url, _) in filled.items()}
        first = FIRST
        for turn in range(size.rounds + 1):
            for people, site in sites.items():
                grown[people].log_in(site, first, size.growth_logins if turn else WARM, counts=turn > 0)
            first += 2 * size.growth_logins
        rows = [
            grown[people].row(seconds, store.database_bytes(url), sites[people])
            for people, (url, seconds) in filled.items()
        ]
    return Growth(now, rows, store.tables(filled[max(filled)][0]))


def _fill(store: BenchStore, url: str, people: int) -> tuple[str, float]:
    began = time.monotonic()
    config = Settings(
        _env_file=None,
        database_url=url,
        secret_keys=(SECRET,),
        project_public_key="pk_bench",
        project_secret_key="sk_bench",
    )
    gateway = build_gateway(config)
    pepper = gateway.keyring.open(gateway.store.keep("pepper", b""), "pepper")
    destinations = Destinations(bytes.fromhex(pepper))
    gateway.close()
    store.fill(url, people, lambda number: destinations.hash(1, known_phone(number)))
    return url, time.monotonic() - began


class _Grown:
    """What was measured on one database."""

    def __init__(self, people: int) -> None:
        self._people = people
        self._costs: list[dict[str, float]] = []
        self._create: list[float] = []
        self._check: list[float] = []

    def log_in(self, site: Site, first: int, logins: int, *, counts: bool) -> None:
        crowded = Plan(site.port, 16, logins, first, site.sink, known=self._people)
        cost, _ = cpu_ms(site.processes, crowded)
        alone = load(Plan(site.port, 1, logins, first + logins, known=self._people))
        if counts:
            self._costs.append(cost)
            self._create += alone.create
            self._check += alone.check

    def row(self, filled_in: float, weight: int, site: Site) -> GrowthRow:
        cost = statistics.median_low(_Cost(one) for one in self._costs).cpu_ms
        return GrowthRow(
            self._people,
            round(filled_in, 1),
            round(weight / 2**20, 1),
            {name: round(ms, 4) for name, ms in cost.items()},
            spread(self._create),
            spread(self._check),
            {name: round(kib / 1024, 1) for name, kib in site.processes.resident_kib().items()},
        )


class _Cost:
    """In order of their sums, for the median."""

    def __init__(self, cpu_ms: dict[str, float]) -> None:
        self.cpu_ms = cpu_ms

    def __lt__(self, other: "_Cost") -> bool:
        return sum(self.cpu_ms.values()) < sum(other.cpu_ms.values())
