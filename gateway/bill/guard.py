"""`BillGuard`: on which channels nothing may go to a phone just now, because it costs money.

A channel costs money if its provider takes it for each message. Telegram's bot does not; Telegram by another
provider (TELEGRAM_URL) does, and where that is closed, the bot is still there.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from gateway import errors
from gateway.bill.countries import allows
from gateway.channels import PAID, Channel
from gateway.clock import Clock
from gateway.contact import Contact
from gateway.projects import Project
from gateway.settings import Settings
from gateway.store import Limit, Store
from gateway.store.ceilings import DAY, ceiling_key

FRESH = 1000  # ms: how late a process may see that a prefix was stopped, or a ceiling reached, by another one
_PROJECTS = 4096  # whose ceilings are at hand: some 1 KiB each

Barred = Mapping[Channel, type[errors.GatewayError]]
Ceilings = Mapping[Channel, Limit]
_NONE: Ceilings = {}


class _Seen(msgspec.Struct, frozen=True):
    """What a look into the store found for a project: stopped beginnings of phones, channels that are used up."""

    at: int
    stopped: tuple[str, ...] = ()
    full: tuple[Channel, ...] = ()


class BillGuard:
    """Safe to share between threads: two that look at once see the same."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._on = settings.limits == "on"
        self._ceiling = settings.ceiling_messages
        self.paid = (*PAID, Channel.TELEGRAM) if Channel.TELEGRAM in settings.provider_urls else PAID
        self._of_day = lru_cache(maxsize=_PROJECTS)(self._make_ceilings)
        self._seen: dict[int, _Seen] = {}

    def barred(self, project: Project, to: Contact | None) -> Barred:
        """The closed channels, each with the refusal of who asks for it. `to` None: whoever it will be."""
        seen = self._look(project)
        found: dict[Channel, type[errors.GatewayError]] = dict.fromkeys(seen.full, errors.ChannelUsedUp)
        if to is None or to.kind != "phone" or not to.value:
            return found
        if to.value.startswith(seen.stopped):
            return dict.fromkeys(self.paid, errors.CountryNotAllowed)
        for channel in self.paid:
            countries = project.settings.countries_of(channel)
            if countries and not allows(countries, to.value):
                found[channel] = errors.CountryNotAllowed
        return found

    def ceilings(self, project: Project) -> Ceilings:
        """What a message of each channel counts against today."""
        if not self._on:
            return _NONE
        numbers = tuple(self._number(project, channel) for channel in self.paid)
        return self._of_day(project.id, self._clock() // DAY, numbers)

    def forget(self, project: Project) -> None:
        """Look anew at the next question."""
        self._seen.pop(project.id, None)

    def full_of(self, project: Project) -> Iterable[tuple[Channel, Limit]]:
        """The channels that are used up for today, by a look just now."""
        ceilings = self.ceilings(project)
        full = self._store.full(list(ceilings.values()), self._clock())
        return [(channel, limit) for channel, limit in ceilings.items() if limit in full]

    def _look(self, project: Project) -> _Seen:
        now = self._clock()
        seen = self._seen.get(project.id)
        if seen and seen.at <= now < seen.at + FRESH:
            return seen
        seen = _Seen(now)
        if self._on:
            stops = self._store.stops()
            stopped = tuple(one.prefix for one in stops if one.project_id == project.id and one.until > now)
            seen = _Seen(now, stopped, tuple(channel for channel, _ in self.full_of(project)))
        self._seen[project.id] = seen
        return seen

    def _number(self, project: Project, channel: Channel) -> int:
        chosen = project.settings.ceiling_of(channel)
        return self._ceiling if chosen is None else chosen

    def _make_ceilings(self, project_id: int, day: int, numbers: tuple[int, ...]) -> Ceilings:
        return {
            channel: Limit(ceiling_key(project_id, channel, day * DAY), "ceiling", DAY, number * DAY, number * DAY)
            for channel, number in zip(self.paid, numbers, strict=True)
        }
