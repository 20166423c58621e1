"""What was measured: the shape of bench/figures.json, from which docs/performance.md is written.

Each section holds one entry a store, with when and where it was taken: a part of the bench can be run alone.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

FILE = Path(__file__).parent / "figures.json"
DELIVERED = "create to the sender"  # one of a steady load's spreads


class Taken(msgspec.Struct, frozen=True):
    """When and where. `load`: what the machine was busy with before we began (1 minute's load average)."""

    date: str
    machine: str
    cores: int
    memory_gib: int
    python: str
    store: str
    load: float


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds that `count` requests took."""

    count: int
    p50: float
    p99: float
    p999: float
    longest: float


class LoginRow(msgspec.Struct, frozen=True):
    """Logins over so many connections, as fast as they go. `cpu_ms`: a login's, of each process."""

    connections: int
    sent: bool
    cpu_ms: dict[str, float]
    a_second: float
    create: Spread
    check: Spread
    delivered: Spread | None

    @property
    def cpu(self) -> float:
        return math.fsum(self.cpu_ms.values())


class HalfRow(msgspec.Struct, frozen=True):
    """An open loop at half of the most logins a second that were measured."""

    sent: bool
    a_second: float
    create: Spread
    check: Spread
    delivered: Spread | None


class Logins(msgspec.Struct, frozen=True):
    """`answer_ms`: the smallest answer to a body; `sql_ms`: the bare SQL of a login, client and server."""

    taken: Taken
    answer_ms: float
    sql_ms: dict[str, float]
    rows: list[LoginRow]
    half: list[HalfRow]
    peak_mib: dict[str, float]

    @property
    def floor(self) -> float:
        """CPU ms below which no login can be on this server and store: two answers, and its bare SQL."""
        return 2 * self.answer_ms + math.fsum(self.sql_ms.values())


class Parts(msgspec.Struct, frozen=True):
    """CPU µs of a login's parts, in process, and the share of the time below each function (`profile`)."""

    taken: Taken
    micros: dict[str, float]
    profile: list[tuple[str, float]]


class Steady(msgspec.Struct, frozen=True):
    """Everything on, `a_second` logins for `seconds`; `activated`: from the contact to the browser's stream."""

    taken: Taken
    a_second: float
    seconds: float
    logins: int
    errors: int
    cpu_ms: dict[str, float]
    spreads: dict[str, Spread]
    activated: Spread


class Widgets(msgspec.Struct, frozen=True):
    """`told`: from a check to its event, among `widgets` open streams."""

    taken: Taken
    widgets: int
    opened_in: float
    kib_each: float
    told: Spread


class Memory(msgspec.Struct, frozen=True):
    """KiB that a live session adds to each process; seconds from exec to the first 200 of /healthz."""

    taken: Taken
    sessions: int
    session_kib: dict[str, float]
    start: dict[str, float]


class Table(msgspec.Struct, frozen=True):
    """Rows of a table, and bytes with its indexes."""

    rows: int
    bytes: int


class GrowthRow(msgspec.Struct, frozen=True):
    """`people` with an activation each and a login of the past; what theirs and new people's logins take then."""

    people: int
    filled_in: float
    database_mib: float
    cpu_ms: dict[str, float]
    create: Spread
    check: Spread
    resident_mib: dict[str, float]

    @property
    def cpu(self) -> float:
        return math.fsum(self.cpu_ms.values())


class Growth(msgspec.Struct, frozen=True):
    """`tables` are those of the largest database."""

    taken: Taken
    rows: list[GrowthRow]
    tables: dict[str, Table]


class Figures(msgspec.Struct):
    """Everything, each section by store."""

    logins: dict[str, Logins] = {}
    steady: dict[str, Steady] = {}
    parts: dict[str, Parts] = {}
    widgets: dict[str, Widgets] = {}
    memory: dict[str, Memory] = {}
    growth: dict[str, Growth] = {}


SECTIONS = Figures.__struct_fields__


def spread(seconds: Sequence[float]) -> Spread:
    """Of what took so many seconds, in any order."""
    if not seconds:
        raise SystemExit("of something there was nothing to measure, see above")
    times = sorted(seconds)

    def at(share: float) -> float:
        return round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 2)

    return Spread(len(times), at(0.5), at(0.99), at(0.999), at(1))


def load() -> Figures:
    """Those that were recorded last."""
    return msgspec.json.decode(FILE.read_bytes(), type=Figures)


def save(figures: Figures) -> None:
    """Record them, for docs/performance.md."""
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
