"""The conversion watch: a beginning of phones whose codes are paid for and never entered is stopped by itself.

Who pumps messages takes numbers of a carrier that shares the money with them. Those lie side by side, and nobody
there logs in. So the newest sessions are counted by how their phones begin, first by ranges, as carriers hand out
numbers; a whole country is stopped only for what is left of it without the ranges that are.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence

from gateway.bill.guard import BillGuard
from gateway.book import ProjectBook
from gateway.clock import Clock, to_iso
from gateway.limits.subjects import country_prefix
from gateway.projects import Project
from gateway.settings import Settings
from gateway.store import Stop, Store, Turnout
from gateway.store.ceilings import DAY
from gateway.store.entries import Entry

log = logging.getLogger(__name__)


class BillWatch:
    """One look after the other; any number of processes may look, each stop is one's."""

    def __init__(
        self, store: Store, projects: ProjectBook, guard: BillGuard, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._projects = projects
        self._guard = guard
        self._clock = clock
        self._never = settings.limits == "off"
        self._fewest = settings.guard_codes
        self._share = settings.guard_share
        self._window = settings.guard_window_seconds * 1000
        self._settle = settings.guard_settle_seconds * 1000
        self._sample = settings.guard_sample
        self._first = settings.guard_stop_seconds * 1000
        self._longest = settings.guard_stop_longest_seconds * 1000

    def look(self) -> list[Stop]:
        """Stop what looks like a pump, and say which ceilings are reached; the stops that are new."""
        if self._never:
            return []
        now = self._clock()
        for project in self._projects.all():
            self._tell_full(project, now)
        counted = self._store.turnouts(now - self._window, now - self._settle, self._sample, self._guard.paid)
        pumps = find_pumps(counted, self._fewest, self._share)
        if not pumps:
            return []
        former = {(one.project_id, one.prefix): one for one in self._store.stops()}
        stops = [self._stop(one, former.get((one.project_id, one.prefix)), now) for one in pumps]
        return [stop for stop in stops if self._is_news(stop)]

    def _stop(self, pump: Turnout, former: Stop | None, now: int) -> Stop:
        strikes = former.strikes + 1 if former and former.until + DAY > now else 1
        until = now + min(self._first << min(strikes - 1, 20), self._longest)
        return Stop(pump.project_id, pump.prefix, now, until, "system", pump.sent, pump.entered, max(strikes, 1))

    def _is_news(self, stop: Stop) -> bool:
        reason = f"{stop.prefix}: {stop.entered} of {stop.sent} codes entered; until {to_iso(stop.until)}"
        entry = Entry(stop.since, "system", "guard.stop", stop.project_id, reason="pumped", detail=reason)
        if not self._store.stop(stop, entry):
            return False
        log.warning(
            "project %s: nothing that costs money goes to %s; to lift it: kodgate guard lift %s %s",
            stop.project_id,
            reason,
            stop.project_id,
            stop.prefix,
        )
        return True

    def _tell_full(self, project: Project, now: int) -> None:
        for channel, ceiling in self._guard.full_of(project):
            if not ceiling.window:  # nothing is to be sent there at all
                continue
            detail = f"{channel}: {ceiling.window // DAY} messages today; until {to_iso((now // DAY + 1) * DAY)}"
            entry = Entry(now, "system", "guard.ceiling", project.id, reason="used up", detail=detail)
            if self._store.tell_full(ceiling, entry):
                log.warning(
                    "project %s: the ceiling is reached, %s; to raise it: kodgate project set %s ceiling_%s=…",
                    project.id,
                    detail,
                    project.id,
                    channel,
                )


def find_pumps(counted: Sequence[Turnout], fewest: int, share: float) -> list[Turnout]:
    """Of `fewest` codes or more, less than `share` were entered: those ranges, then what else a country has."""
    pumps = [one for one in counted if _is_pump(one, fewest, share)]
    left = (one for one in counted if one not in pumps)
    return pumps + [one for one in _by_country(left) if _is_pump(one, fewest, share)]


def _by_country(counted: Iterable[Turnout]) -> list[Turnout]:
    sums: dict[tuple[int, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for one in counted:
        key = one.project_id, country_prefix(one.prefix)
        sent, entered = sums[key]
        sums[key] = sent + one.sent, entered + one.entered
    return [Turnout(project_id, prefix, *both) for (project_id, prefix), both in sums.items()]


def _is_pump(one: Turnout, fewest: int, share: float) -> bool:
    return one.sent >= fewest and one.entered < one.sent * share
