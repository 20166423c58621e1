"""`Faces`: what a caller is told of a session: its channels, its messages, and the number of one tap.

In a discreet project, nothing that depends on what is known of the phone, until the session itself has shown it.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.channels import DESCRIPTIONS, NAMES, Channel, SessionChannel
from gateway.i18n import translate
from gateway.keyring import Destinations, Keyring, Unsealable
from gateway.projects import Project
from gateway.reach import Reach, Ways
from gateway.settings import Settings
from gateway.store import Send, SessionRow
from gateway.tap import numbers_of
from gateway.tokens import write_payload
from gateway.verbs import Caller, Delivery


@dataclass(frozen=True)
class _Face:
    """The part of a `SessionChannel` that is the same for everybody."""

    name: str
    image_url: str
    description: str


def is_discreet(caller: Caller, kind: str) -> bool:
    """Whether this caller is not to learn what is known of a phone; the bot speaks to whom it belongs."""
    told = caller.secret or caller.telegram
    return caller.project.settings.discreet and not told and kind == "phone"


def whole_seconds(ms: int) -> int:
    """To wait, rounded up."""
    return max(0, -(-ms // 1000))


class Faces:
    """Safe to share between threads. `cooldown`: ms for which a channel rests after a send."""

    def __init__(
        self, settings: Settings, keyring: Keyring, destinations: Destinations, reach: Reach, cooldown: int
    ) -> None:
        self._config = settings
        self._keyring = keyring
        self._destinations = destinations
        self._reach = reach
        self._cooldown = cooldown
        self._same: dict[tuple[Channel, str], _Face] = {}

    def of(
        self, caller: Caller, ways: Ways, channels: Iterable[Channel], session: SessionRow | None, now: int
    ) -> list[SessionChannel]:
        """The channels as the contract shows them, for this session or, without one, as they are at its start."""
        discreet = session is not None and is_discreet(caller, session.kind)
        sends = {send.channel: send for send in session.sends} if session else {}
        answer = []
        for channel in channels:
            face, telegram = self._face(channel, caller.lang), channel is Channel.TELEGRAM
            send = sends.get(channel)
            waits = self._waits(send, now, discreet=discreet) if send else 0
            active = True
            if telegram and ways.parks:
                active = session is not None and (_has_proved(session) if discreet else session.active)
            answer.append(
                SessionChannel(
                    name=face.name,
                    type=channel,
                    is_active=active,
                    timeout=whole_seconds(min(waits, self._cooldown)),  # another process' clock may be ahead
                    image_url=face.image_url,
                    link=self._deep_link(caller.project, session) if telegram else self._config.public_url,
                    description=face.description,
                )
            )
        return answer

    def rests_unseen(self, caller: Caller, session: SessionRow, channel: Channel, now: int) -> bool:
        """Whether Telegram rests; a discreet caller must not learn whether it is parked, sent or failed."""
        sent = _telegram(session) if channel is Channel.TELEGRAM else None
        discreet = sent is not None and is_discreet(caller, session.kind)
        return sent is not None and discreet and self._waits(sent, now, discreet=True) > 0

    def deliveries(self, caller: Caller, session: SessionRow) -> dict[Channel, Delivery]:
        """To whom it must not be told, a Telegram message waits, until the session has shown more."""
        sends = sorted(session.sends, key=lambda send: send.created_at)
        states: dict[Channel, Delivery] = {send.channel: send.state for send in sends}
        if Channel.TELEGRAM in states and is_discreet(caller, session.kind) and not _has_proved(session):
            states[Channel.TELEGRAM] = "parked"
        return states

    def number(self, caller: Caller, session: SessionRow) -> int | None:
        """What the session's own browser shows while a message with the numbers is there, or on its way."""
        if not caller.browser_key or session.joined or session.state != "live":
            return None
        discreet = is_discreet(caller, session.kind)  # then it is shown as if there were a message
        if not session.active and not discreet:
            return None
        if not caller.project.settings.one_tap or Channel.TELEGRAM.kind != session.kind:
            return None
        sent = _telegram(session)
        if sent is None or not (discreet or sent.tap or sent.state in ("queued", "sending")):
            return None
        browser = self._destinations.browser(caller.project.id, caller.browser_key)
        if not hmac.compare_digest(session.browser_mac, browser):
            return None
        try:
            return numbers_of(self._keyring, session.sealed, session.id).right
        except Unsealable:
            return None

    def _waits(self, send: Send, now: int, *, discreet: bool) -> int:
        """How many milliseconds its channel rests; a failed send does not count, but where it would tell."""
        counts = send.state != "failed" or (discreet and send.channel is Channel.TELEGRAM)
        return send.created_at + self._cooldown - now if counts else 0

    def _face(self, channel: Channel, lang: str) -> _Face:
        face = self._same.get((channel, lang))
        if face is None:
            face = self._same[channel, lang] = _Face(
                NAMES[channel],
                f"{self._config.public_url}/static/icons/{channel}.svg",
                translate(lang, DESCRIPTIONS[channel]),
            )
        return face

    def _deep_link(self, project: Project, session: SessionRow | None) -> str:
        if not self._reach.has_bot(project):
            return self._config.public_url
        bot = f"{self._config.telegram_link_url}/{project.settings.bot_username}"
        return f"{bot}?start={write_payload(self._keyring, session.id)}" if session else bot


def _telegram(session: SessionRow) -> Send | None:
    return next((send for send in session.sends if send.channel is Channel.TELEGRAM), None)


def _has_proved(session: SessionRow) -> bool:
    """Whether the bot was activated during this very session, by whoever follows its link."""
    sent = _telegram(session)
    released = sent is not None and sent.began_parked and sent.state not in ("parked", "failed")
    return released and session.active and not session.joined
