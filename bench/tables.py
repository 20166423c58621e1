"""The figures as Markdown, for the console and for docs/performance.md."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.budgets import NAMES, verdicts
from bench.figures import (
    DELIVERED,
    Figures,
    Growth,
    HalfRow,
    Logins,
    Memory,
    Parts,
    Spread,
    Steady,
    Taken,
    Widgets,
)

SPREAD = "p50 / p99 / p99.9 ms"


def section(figures: Figures, name: str, stores: Iterable[str] = NAMES) -> str:
    """One section's tables, a store after the other."""
    entries = getattr(figures, name)
    write = _WRITERS[name]
    texts = [
        f"{_where(entries[store].taken)}\n\n{write(entries[store])}"
        if store in entries
        else f"{NAMES[store]}: not measured."
        for store in stores
    ]
    return "\n\n".join(texts)


def budgets(figures: Figures) -> str:
    """What the issues allow against what was measured."""
    rows = [
        [one.what, one.budget, one.measured, one.floors, "met" if one.met else "**NOT met**"]
        for one in verdicts(figures)
    ]
    return _table(["", "budget", "measured", "× the floor", ""], rows)


def in_short(figures: Figures) -> str:
    """What somebody who chooses wants to know, store beside store."""
    stores = [store for store in NAMES if store in figures.logins and store in figures.steady]
    sent = {store: [row for row in figures.logins[store].rows if row.sent] for store in stores}
    steady = {store: figures.steady[store] for store in stores}
    rows: list[Sequence[object]] = [
        [
            "logins a second, at most, each code sent",
            *(f"{max(r.a_second for r in sent[s]):,.0f}" for s in stores),
        ],
        ["CPU ms of such a login", *(f"{min(row.cpu for row in sent[s]):.2f}" for s in stores)],
        ["at 500 a second, everything on: errors", *(steady[s].errors for s in stores)],
        ["create, p50 / p99 ms", *(_two(steady[s].spreads["create"]) for s in stores)],
        ["a code at its provider, p50 / p99 ms", *(_two(steady[s].spreads[DELIVERED]) for s in stores)],
        ["peak memory, MiB", *(_each(figures.logins[s].peak_mib, ".0f") for s in stores)],
    ]
    return _table(["", *(NAMES[store] for store in stores)], rows)


def _two(spread: Spread) -> str:
    return f"{spread.p50:.0f} / {spread.p99:.0f}"


def _logins(logins: Logins) -> str:
    rows = [
        [
            row.connections,
            "webhook" if row.sent else "off",
            f"**{row.cpu:.3f}**",
            f"{row.cpu / logins.floor:.1f}",
            _each(row.cpu_ms, ".3f"),
            f"{row.a_second:,.0f}",
            f"{1000 / row.cpu:,.0f}",
            _spread(row.create),
            _spread(row.check),
            _spread(row.delivered),
        ]
        for row in logins.rows
    ]
    head = ["connections", "sending", "CPU ms a login", "× the floor", "by process", "logins/s"]
    head += ["logins/s a core", f"create {SPREAD}", f"check {SPREAD}", f"delivered {SPREAD}"]
    return (
        f"{_table(head, rows)}\n\n"
        f"The floor is {logins.floor:.3f} CPU ms: two of the smallest answers at {logins.answer_ms:.4f}, and a "
        f"login's bare SQL ({_each(logins.sql_ms, '.4f')}). "
        f"Peak memory, MiB: {_each(logins.peak_mib, '.0f')}.\n\n"
        f"{_half(logins.half)}"
    )


def _half(rows: Iterable[HalfRow]) -> str:
    cells = [
        [
            "webhook" if row.sent else "off",
            f"{row.a_second:,.0f}",
            f"{row.create.count:,}",
            _spread(row.create),
            _spread(row.check),
            _spread(row.delivered),
        ]
        for row in rows
    ]
    head = ["sending", "logins/s, half of the most", "logins", f"create {SPREAD}", f"check {SPREAD}"]
    return _table([*head, f"delivered {SPREAD}"], cells)


def _steady(steady: Steady) -> str:
    rows = [
        [what, f"{one.count:,}", f"{one.p50:.1f}", f"{one.p99:.1f}", f"{one.p999:.1f}", f"{one.longest:.0f}"]
        for what, one in (*steady.spreads.items(), ("contact in the bot to the stream", steady.activated))
    ]
    return (
        f"{steady.logins:,} logins in {steady.seconds:.0f} s, {steady.errors} errors, "
        f"{math.fsum(steady.cpu_ms.values()):.3f} CPU ms each ({_each(steady.cpu_ms, '.3f')}).\n\n"
        f"{_table(['', 'times', 'p50 ms', 'p99', 'p99.9', 'longest'], rows)}"
    )


def _parts(parts: Parts) -> str:
    rows = [[part, f"{micros:.1f}"] for part, micros in parts.micros.items()]
    top = [[f"`{name}`", f"{share:.0%}"] for name, share in parts.profile]
    costs = _table(["part, in process", "CPU µs"], rows)
    return f"{costs}\n\n{_table(['of create and check, spent in or below', ''], top)}"


def _widgets(widgets: Widgets) -> str:
    rows = [
        [
            f"{widgets.widgets:,}",
            f"{widgets.kib_each:.1f}",
            f"{widgets.opened_in:.1f}",
            f"{widgets.told.p50:.1f} / {widgets.told.p99:.1f} / {widgets.told.longest:.0f}",
        ]
    ]
    head = ["open", "KiB each", "opened in s", "check to event p50 / p99 / longest ms"]
    return _table(head, rows)


def _memory(memory: Memory) -> str:
    rows: list[Sequence[object]] = [
        [f"KiB a live session, of {memory.sessions:,}", _each(memory.session_kib, ".2f")],
        ["from exec to the first 200 of /healthz, s", _each(memory.start, ".2f")],
    ]
    return _table(["", "by process"], rows)


def _growth(growth: Growth) -> str:
    few = growth.rows[0]
    rows = [
        [
            f"{row.people:,}",
            f"{row.cpu:.3f}",
            f"{row.cpu / few.cpu:.2f}",
            f"{row.create.p50:.2f} / {row.create.p99:.2f}",
            f"{row.create.p99 / few.create.p99:.2f}",
            f"{row.check.p50:.2f} / {row.check.p99:.2f}",
            f"{row.database_mib:,.0f}",
            _each(row.resident_mib, ".0f"),
            f"{row.filled_in:.0f}",
        ]
        for row in growth.rows
    ]
    head = ["people", "CPU ms a login, webhook", "× the first", "create p50 / p99 ms, alone", "p99 × the first"]
    head += ["check p50 / p99 ms", "database MiB", "resident MiB", "filled in s"]
    weights = [
        [f"`{name}`", f"{table.rows:,}", f"{table.bytes / table.rows:,.0f}"]
        for name, table in growth.tables.items()
        if table.rows >= growth.rows[-1].people // 2
    ]
    many = growth.rows[-1]
    more = max(1, many.people - few.people) / 100_000
    grown = {name: (many.resident_mib[name] - mib) / more for name, mib in few.resident_mib.items()}
    return (
        f"{_table(head, rows)}\n\n"
        f"Memory for each 100,000 activations more, MiB: {_each(grown, '.1f')}.\n\n"
        f"{_table(['table', 'rows', 'bytes a row, with indexes'], weights)}"
    )


_WRITERS: dict[str, Callable[[Any], str]] = {
    "logins": _logins,
    "steady": _steady,
    "parts": _parts,
    "widgets": _widgets,
    "memory": _memory,
    "growth": _growth,
}


def _where(taken: Taken) -> str:
    return (
        f"{taken.store}, {taken.date}: {taken.machine}, {taken.cores} cores, {taken.memory_gib} GiB, "
        f"Python {taken.python}; load {taken.load} when it began."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _each(values: dict[str, float], form: str) -> str:
    return ", ".join(f"{name} {value:{form}}" for name, value in values.items())


def _spread(spread: Spread | None) -> str:
    return f"{spread.p50:.1f} / {spread.p99:.1f} / {spread.p999:.1f}" if spread else ""
