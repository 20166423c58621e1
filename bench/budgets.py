"""What the issues allow, and whether it is met."""

from dataclasses import dataclass

from bench.figures import Figures, Growth, Logins, Steady, Widgets

LOGIN_MS = {  # CPU ms of create and check at 16 connections, all limits on (PostgreSQL's with its server's time)
    ("sqlite", False): 0.25,
    ("sqlite", True): 0.45,
    ("postgres", False): 0.60,
}
REQUEST_MS = 20  # p99 of each request at 500 logins a second (issue 7)
EVENT_MS = 100  # p99 until a browser is told (issues 5 and 7)
WIDGET_KIB = 16  # (issue 5)
FLAT = 1.15  # what a create may take among many people, against few (issue 7)
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


@dataclass(frozen=True)
class Verdict:
    """`floors`: how many times the floor of the same run it is, of what has one."""

    what: str
    budget: str
    measured: str
    met: bool
    floors: str = ""


def verdicts(figures: Figures) -> list[Verdict]:
    """On whatever was measured."""
    found: list[Verdict] = []
    for store, name in NAMES.items():
        if store in figures.logins:
            found += _of_logins(name, store, figures.logins[store])
        if store in figures.steady:
            found += _of_steady(name, figures.steady[store])
        if store in figures.widgets:
            found += _of_widgets(name, figures.widgets[store])
        if store in figures.growth:
            found += _of_growth(name, figures.growth[store])
    return found


def _of_logins(name: str, store: str, logins: Logins) -> list[Verdict]:
    found = []
    for row in logins.rows:
        budget = LOGIN_MS.get((store, row.sent))
        if row.connections != 16 or budget is None:
            continue
        how = "with a webhook send" if row.sent else "sending off"
        found.append(
            Verdict(
                f"{name}: create + check, {how}, CPU ms",
                f"{budget:.2f}",
                f"{row.cpu:.3f}",
                row.cpu <= budget,
                f"{row.cpu / logins.floor:.1f}",
            )
        )
    return found


def _of_steady(name: str, steady: Steady) -> list[Verdict]:
    rate = f"{name}: {steady.a_second:.0f} logins/s for {steady.seconds:.0f} s"
    requests = [
        Verdict(f"{rate}, p99 of {verb}, ms", f"{REQUEST_MS}", f"{one.p99:.1f}", one.p99 <= REQUEST_MS)
        for verb, one in steady.spreads.items()
        if verb in ("create", "check")
    ]
    told = steady.activated.p99
    return [
        *requests,
        Verdict(f"{rate}, activation to browser, p99, ms", f"{EVENT_MS}", f"{told:.1f}", told <= EVENT_MS),
        Verdict(f"{rate}, errors", "0", f"{steady.errors}", steady.errors == 0),
    ]


def _of_widgets(name: str, widgets: Widgets) -> list[Verdict]:
    kib, told = widgets.kib_each, widgets.told.p99
    among = f"{name}: {widgets.widgets} open widgets"
    return [
        Verdict(f"{among}, KiB each", f"{WIDGET_KIB}", f"{kib:.1f}", kib <= WIDGET_KIB),
        Verdict(f"{among}, check to event, p99, ms", f"{EVENT_MS}", f"{told:.1f}", told <= EVENT_MS),
    ]


def _of_growth(name: str, growth: Growth) -> list[Verdict]:
    few, many = growth.rows[0], growth.rows[-1]
    among = f"{name}: {many.people:,} people against {few.people:,}"
    return [
        Verdict(f"{among}, {what}", f"{FLAT:.2f} ×", f"{more / less:.2f} ×", more <= FLAT * less)
        for what, more, less in (
            ("CPU of a login with a send", many.cpu, few.cpu),
            ("create p50", many.create.p50, few.create.p50),
            ("create p99", many.create.p99, few.create.p99),
        )
    ]
