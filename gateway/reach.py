"""`Reach`: by which channels a contact can be reached just now, and what a message by each counts against."""

from dataclasses import dataclass

from gateway import errors
from gateway.bill.guard import Barred, BillGuard, Ceilings
from gateway.book import ProjectBook
from gateway.channels import Channel
from gateway.contact import Contact, contact_of
from gateway.keyring import Keyring, Unsealable
from gateway.projects import Project
from gateway.settings import Settings
from gateway.store import Carried, Claimed, SessionRow
from gateway.verbs import Draft


@dataclass(frozen=True)
class Ways:
    """The channels that are open to a contact, and those that are closed; `parks` as in `gateway.store.Order`."""

    open: tuple[Channel, ...]
    barred: Barred
    parks: bool

    def must_take(self, channel: Channel) -> None:
        """Raises the refusal of a closed channel."""
        if channel not in self.open:
            raise self.barred.get(channel, errors.NoChannel)()


class Reach:
    """Safe to share between threads."""

    def __init__(self, settings: Settings, projects: ProjectBook, keyring: Keyring, bill: BillGuard) -> None:
        self._projects = projects
        self._keyring = keyring
        self._bill = bill
        self._servers_bot = settings.telegram_bot_token.partition(":")[0]
        self._configured = frozenset(settings.provider_urls)
        self._parks = Channel.TELEGRAM not in self._configured  # else Telegram is reached without its bot, too

    def has_bot(self, project: Project) -> bool:
        """Whether links can name the project's bot: its own, or the server's if that is the one configured now."""
        chosen = project.settings
        return bool(chosen.bot_username and (chosen.bot_token or str(chosen.bot_id) == self._servers_bot))

    def channels(self, project: Project, kind: str | None = None) -> tuple[Channel, ...]:
        """The project's channels that have a provider, in its order; for one kind of contact, if given."""
        return tuple(
            channel
            for channel in project.settings.channels
            if kind in (None, channel.kind)
            and (channel in self._configured or (channel is Channel.TELEGRAM and self.has_bot(project)))
        )

    def ways(self, project: Project, to: Contact | None) -> Ways:
        """How a contact can be reached just now, or, where it is None, anybody."""
        channels = self.channels(project, to.kind if to else None)
        barred = self._bill.barred(project, to)
        if not barred:
            return Ways(channels, barred, self._parks)
        parks = self._parks or Channel.TELEGRAM in barred
        bot = Channel.TELEGRAM if self.has_bot(project) else None  # free, whatever else is closed
        return Ways(tuple(one for one in channels if one is bot or one not in barred), barred, parks)

    def ways_of(self, project: Project, session: SessionRow | None) -> Ways:
        """The same, to whom a session is for, as far as anybody can tell that any more."""
        if session is None:
            return self.ways(project, None)
        try:
            to = self._keyring.open(session.sealed, session.id)
        except Unsealable:
            to = ""
        return self.ways(project, contact_of(session.kind, to))

    def some_ways(self, project: Project, to: Contact, wanted: Channel | None) -> Ways:
        """The same, to the channel that is wanted or, if none is, any. Raises the refusal where there is none."""
        ways = self.ways(project, to)
        if wanted in ways.open or (ways.open and not wanted):
            return ways
        channels = self.channels(project, to.kind)
        if not channels:
            raise errors.NoChannels
        if wanted:
            self.must_reach(project, to.kind, wanted)
            ways.must_take(wanted)
        barred = [ways.barred[channel] for channel in channels]
        raise errors.PhoneNotAllowed if errors.CountryNotAllowed in barred else errors.AllUsedUp

    def must_reach(self, project: Project, kind: str, channel: Channel) -> None:
        """Raises `NoChannel` where the project lacks it, `ChannelCannotReach` where it is for other contacts."""
        if channel not in self.channels(project):
            raise errors.NoChannel
        if channel.kind != kind:
            raise errors.ChannelCannotReach

    def must_allow(self, project: Project, draft: Draft) -> None:
        """What a server asks for costs money, too. Whether its ceiling is reached, the store will say.

        Raises `CountryNotAllowed`.
        """
        bot = draft.channel is Channel.TELEGRAM and self.has_bot(project) and draft.provider_id in (None, 1)
        refusal = self._bill.barred(project, draft.to).get(draft.channel)
        if refusal is errors.CountryNotAllowed and not bot:
            raise errors.CountryNotAllowed

    def ceilings(self, project: Project, *, free: bool) -> Ceilings:
        """What sends count against; `free`: Telegram reaches this contact by its bot, if at all."""
        ceilings = self._bill.ceilings(project)
        if not free or Channel.TELEGRAM not in ceilings:
            return ceilings
        return {channel: limit for channel, limit in ceilings.items() if channel is not Channel.TELEGRAM}

    def instead(
        self, sent: Claimed | Carried, failed: Channel, *, active: bool
    ) -> tuple[tuple[Channel, ...], Ceilings]:
        """The channels that may take over from one that failed, the project's first choice first, and ceilings.

        `active`: the user's bot is, so that Telegram can deliver at once. In a discreet project Telegram neither
        takes over nor is taken over from: that would tell whether it reaches the phone.
        """
        project = self._projects.by_id(sent.project_id)
        discreet = project is not None and project.settings.discreet
        if project is None or (discreet and failed is Channel.TELEGRAM):
            return (), {}
        try:
            to = contact_of(failed.kind, self._keyring.open(sent.sealed, sent.session_id))
        except Unsealable:
            return (), {}
        ways = self.ways(project, to)
        telegram = (active or not ways.parks) and not discreet
        instead = tuple(
            channel
            for channel in ways.open
            if channel is not failed
            and channel.kind == failed.kind
            and (channel is not Channel.TELEGRAM or telegram)
        )
        return instead, self.ceilings(project, free=active)

    def only_bot(self, claimed: Claimed) -> bool:
        """Whether Telegram may reach this phone by the bot alone, as its other provider costs money.

        Raises `Unsealable`.
        """
        project = self._projects.by_id(claimed.project_id)
        to = contact_of("phone", self._keyring.open(claimed.sealed, claimed.session_id))
        return project is not None and Channel.TELEGRAM in self._bill.barred(project, to)
