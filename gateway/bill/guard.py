"""`BillGuard`: on which channels nothing may go to a phone just now, because it costs money.

A channel costs money if its provider takes it for each message. Telegram's bot does not; Telegram by another
provider (TELEGRAM_URL) does, and where that is closed, the bot is still there.
"""

from collections.abc import Iterable, Mapping

import msgspec

from gateway import errors
from gateway.bill.countries import ALL, allows
from gateway.channels import PAID, Channel
from gateway.clock import Clock
from gateway.contact import Contact
from gateway.projects import Project, ProjectSettings
from gateway.settings import Settings
from gateway.store import Busy, Limit, Store
from gateway.store.ceilings import DAY, ceiling_key

FRESH = 1000  # ms: how late a process may see that a prefix was stopped, or a ceiling reached, by another one

Barred = Mapping[Channel, type[errors.GatewayError]]
Ceilings = Mapping[Channel, Limit]
_NONE: Barred = {}


class _Seen(msgspec.Struct, frozen=True):
    """What holds for a project with these settings, on this day, by a look into the store not long ago.

    `stopped` are beginnings of phones, `full` the channels that are used up, `countries` those of each channel
    that does not send everywhere.
    """

    at: int
    settings: ProjectSettings
    day: int
    ceilings: Ceilings
    stopped: tuple[str, ...] = ()
    full: tuple[Channel, ...] = ()
    countries: tuple[tuple[Channel, tuple[str, ...]], ...] = ()


class BillGuard:
    """Safe to share between threads and greenlets: while one looks, what was seen last will do for the others."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._on = settings.limits == "on"
        self._ceiling = settings.ceiling_messages
        self.paid = (*PAID, Channel.TELEGRAM) if Channel.TELEGRAM in settings.provider_urls else PAID
        self._seen: dict[int, _Seen] = {}

    def barred(self, project: Project, to: Contact | None) -> Barred:
        """The closed channels, each with the refusal of who asks for it. `to` None: whoever it will be."""
        seen = self._look(project)
        if not (seen.countries or seen.stopped or seen.full):
            return _NONE
        found: dict[Channel, type[errors.GatewayError]] = dict.fromkeys(seen.full, errors.ChannelUsedUp)
        if to is None or to.kind != "phone" or not to.value:
            return found
        if to.value.startswith(seen.stopped):
            return dict.fromkeys(self.paid, errors.CountryNotAllowed)
        for channel, countries in seen.countries:
            if not allows(countries, to.value):
                found[channel] = errors.CountryNotAllowed
        return found

    def ceilings(self, project: Project) -> Ceilings:
        """What a message of each channel counts against today."""
        return self._look(project).ceilings

    def forget(self, project: Project) -> None:
        """Look anew at the next question."""
        self._seen.pop(project.id, None)

    def full_of(self, project: Project) -> Iterable[tuple[Channel, Limit]]:
        """The channels that are used up for today, by a look just now."""
        now = self._clock()
        return self._full(self._ceilings(project, now // DAY), now)

    def _look(self, project: Project) -> _Seen:
        now, day = self._clock(), self._clock() // DAY
        seen = self._seen.get(project.id)
        if seen and seen.at <= now < seen.at + FRESH and seen.settings is project.settings and seen.day == day:
            return seen
        if seen and seen.settings is project.settings and seen.day == day:  # meanwhile it will do for others
            self._seen[project.id] = msgspec.structs.replace(seen, at=now)
        try:
            looked = self._looked(project, now, day)
        except Busy:
            self._seen.pop(project.id, None)
            raise
        newest = self._seen.get(project.id)
        if newest is None or newest.at <= now or newest is seen:
            self._seen[project.id] = looked
        return looked

    def _looked(self, project: Project, now: int, day: int) -> _Seen:
        chosen = project.settings
        countries = ((channel, chosen.countries_of(channel)) for channel in self.paid)
        restricted = tuple((channel, some) for channel, some in countries if some and some[0] != ALL)
        if not self._on:
            return _Seen(now, chosen, day, {}, countries=restricted)
        stops = self._store.stops()
        stopped = tuple(one.prefix for one in stops if one.project_id == project.id and one.until > now)
        ceilings = self._ceilings(project, day)
        full = tuple(channel for channel, _ in self._full(ceilings, now))
        return _Seen(now, chosen, day, ceilings, stopped, full, restricted)

    def _full(self, ceilings: Ceilings, now: int) -> list[tuple[Channel, Limit]]:
        full = self._store.full(list(ceilings.values()), now)
        return [(channel, limit) for channel, limit in ceilings.items() if limit in full]

    def _ceilings(self, project: Project, day: int) -> Ceilings:
        found = {}
        for channel in self.paid:
            own = project.settings.ceiling_of(channel)
            window = DAY * (self._ceiling if own is None else own)
            found[channel] = Limit(ceiling_key(project.id, channel, day * DAY), "ceiling", DAY, window, window)
        return found
