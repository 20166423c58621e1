"""What web and bot can ask of a gateway, and what they get: the `Gateway` protocol.

`LocalGateway` (gateway.local) is our own engine on our own store. Every verb may raise `GatewayError`.
The answers are the contract's own JSON objects; msgspec encodes them as they are.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec

from gateway.channels import Channel, SessionChannel
from gateway.clock import Clock
from gateway.contact import Contact
from gateway.errors import GatewayError
from gateway.keyring import Keyring
from gateway.metrics import Metrics
from gateway.projects import Project
from gateway.store.entries import Actor

SessionId = Annotated[str, msgspec.Meta(pattern="^[0-9A-HJKMNP-TV-Z]{26}$", description="ULID")]
Timestamp = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        description="UTC, in milliseconds",
        examples=["2025-10-28T09:22:48.950Z"],
    ),
]
SentTo = Annotated[
    str,
    msgspec.Meta(
        description="the channel that carries the code, or `none`",
        extra_json_schema={"enum": [*Channel, "none"]},
    ),
]


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the project that the key opens, and what the request tells of the person behind it.

    `key` is the API key itself, where one was shown: what is encrypted for its holder needs it. `browser_key` is
    a random secret that only this login's browser holds: whoever shows it can collect the session's approval.
    `place` is a time zone's IANA name or a country's code (gateway.place), rendered for whoever reads it.
    `challenge` is what was shown of a challenge (gateway.challenge), where the project asks for one. `address` is
    the visitor's IP address, empty where nobody knows it. `telegram`: the bot asks, for a person in a chat.
    """

    project: Project
    secret: bool = False
    lang: str = "en"
    browser: str = ""
    key: str = ""
    browser_key: str = ""
    place: str = ""
    challenge: str = ""
    address: str = ""
    telegram: bool = False

    @property
    def actor(self) -> Actor:
        """Who asks, as the audit log names them."""
        if self.secret:
            return "secret key"
        if self.telegram:
            return "telegram"
        return "public key" if self.key else "widget"


class Created(msgspec.Struct, frozen=True):
    """Answer of `create` (seed: Session create)."""

    session_id: SessionId
    session_expired_at: Timestamp
    sent_to: SentTo
    channels: list[SessionChannel]


class Sent(msgspec.Struct, frozen=True):
    """Answer of `send` (seed: Session send)."""

    session_id: SessionId
    session_expired_at: Timestamp
    channel: SessionChannel


class Checked(msgspec.Struct, frozen=True):
    """Answer of `check`: a token that the site's server exchanges once for the contact."""

    verify_token: str
    is_test: bool = False


class Verified(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer of `verify`: whose contact it is (`phone` or `email`), how and when it was proven.

    `is_test`: it is one of the project's for tests, with a code that never changes.
    """

    to: str
    verified_at: Timestamp
    session_id: SessionId | None = None
    phone: str | None = None
    email: str | None = None
    channel: Channel | None = None
    is_test: bool = False


class Draft(msgspec.Struct, frozen=True):
    """What a server asks to be sent (seed: Manual send). `code` None: we make one.

    `provider_id` is the number of one of the channel's providers, from 1. `repeat_key` is the Idempotency-Key.
    """

    to: Contact
    channel: Channel
    code: str | None = None
    provider_id: int | None = None
    callback_url: str | None = None
    repeat_key: str | None = None


class ManualSent(msgspec.Struct, frozen=True):
    """A server's own message is queued; `code` is in the open, and encrypted at the edge.

    On a kod.mobi account it is as the account's server has encrypted it, with a tag that only kod.mobi can make.
    """

    message_id: int
    code: str


class ProjectName(msgspec.Struct, frozen=True):
    name: str


class CodeForm(msgspec.Struct, frozen=True):
    length: int
    digits: bool
    letters: bool


class Challenge(msgspec.Struct, frozen=True):
    """Whether `create` asks the public key's holders for a challenge just now, whose, and with which site key."""

    enabled: bool = False
    api_key: str | None = None
    provider: str | None = None


class SettingsAnswer(msgspec.Struct, frozen=True):
    """Answer of `settings`: what a client needs to draw its forms."""

    language: str
    project: ProjectName
    code: CodeForm
    challenge: Challenge


Delivery = Literal["parked", "queued", "sending", "sent", "delivered", "failed"]


class MessageStatus(msgspec.Struct, frozen=True):
    """How a server's own message went; also the body of its callback. `error` is for the operator."""

    message_id: int
    status: Delivery
    channel: Channel
    to: str
    error: str
    finished_at: Timestamp | None


class Progress(msgspec.Struct, frozen=True):
    """Where a session stands, for the widget and its live stream.

    `code_length` is this session's own: a legacy call makes shorter codes than the project's. `deliveries` holds
    the state of the newest message of each channel that was asked to send, the newest last; `instead_of`, for each
    channel that took over, the one that failed. `approved`: by one tap, and its browser may `collect`. `number` is
    what that browser shows meanwhile, 10 to 99, and nobody else is told.
    """

    state: Literal["live", "approved", "used", "closed", "expired"]
    expires_at: int
    channels: list[SessionChannel]
    deliveries: dict[Channel, Delivery]
    code_length: int
    instead_of: dict[Channel, Channel] = {}
    number: int | None = None
    joined: bool = False
    """Somebody else was handed the session as well, so that one tap is off."""


class LinkedSession(msgspec.Struct, frozen=True):
    """A live session as the bot meets it behind a deep link. `chat_id` is the chat linked to its phone."""

    id: str
    project: Project
    contact: Contact
    lang: str
    browser: str
    chat_id: int | None
    active: bool
    place: str = ""


class ExpectedLogin(msgspec.Struct, frozen=True):
    """The login that a chat's contact is for.

    Where another session has taken its place, `contact` is None and `lang` the default one.
    """

    project: Project
    session_id: str
    contact: Contact | None
    lang: str


Picked = Literal["approved", "wrong", "joined", "over"]
"""What became of a press: `wrong` has closed the session; `joined`: it lives, but only a typed code opens it now,
because somebody else was handed it, too; `over` is said of everything else, a stranger's session included."""


class Activation(msgspec.Struct, frozen=True):
    """What an activation did: how many parked codes it let go."""

    released: int
    changed: bool


T = TypeVar("T")


class Gateway(Protocol):
    """The verbs: on our own store (gateway.local), or on a kod.mobi account (gateway.hosted)."""

    keyring: Keyring
    clock: Clock
    metrics: Metrics

    def authenticate(self, key: str | None) -> tuple[Project, bool]:
        """The project that an API key opens, and whether it is the secret one. Raises `AccessDenied`."""

    def project(self, project_id: int) -> Project | None:
        """A project by its id."""

    def create(
        self,
        caller: Caller,
        to: Contact,
        channel: Channel | None = None,
        *,
        send: bool = True,
        code: str | None = None,
        legacy: bool = False,
    ) -> Created:
        """Create, or return, the live session of a contact, and send the code unless told not to.

        `code` is the caller's own: encrypted (gateway.aes256), or in the open with the secret key. `legacy`
        is the Message API's way: shorter codes, and the channel used most, else whatsapp, by default. Raises
        `ChallengeRequired` or `ChallengeUnavailable` where the project asks for one, `TooSoon` over a limit.
        """

    def send(self, caller: Caller, session_id: str, channel: Channel, *, code: str | None = None) -> Sent:
        """Send the session's code, or from now on `code`, on a channel. Raises `TooSoon` while that rests."""

    def channels(self, caller: Caller, session_id: str | None = None) -> list[SessionChannel]:
        """A session's channels, or all of the project's."""

    def check(self, caller: Caller, session_id: str, code: object) -> Checked:
        """Compare a code. Raises `WrongCode` (counted), `SessionExpired`, or `TooSoon`: it was not compared."""

    def collect(self, caller: Caller, session_id: str) -> Checked:
        """Use up a session that one tap approved. Raises `SessionExpired` for all but its own browser."""

    def verify(self, caller: Caller, verify_token: str) -> Verified:
        """Exchange a verify token for the contact, once. Raises `SessionExpired`."""

    def settings(self, caller: Caller, session_id: str | None = None) -> SettingsAnswer:
        """How the project's forms look."""

    def challenge_of(self, project: Project, *, demanded: bool = False) -> Challenge:
        """What the project's own pages have to ask of a visitor before `create`.

        `demanded`: of one whom `create` refused with `ChallengeRequired`, whatever the project's traffic is like.
        """

    def new_challenge(self, project: Project) -> dict[str, Any]:
        """An ALTCHA challenge (PoW v2), to be solved for `create`. Raises `NotFound` where it is not that."""

    def manual_send(self, caller: Caller, draft: Draft) -> ManualSent:
        """Queue a server's own message, with the secret key. Raises `AccessDenied`, `ChannelCannotReach`."""

    def message(self, caller: Caller, message_id: int) -> MessageStatus:
        """How such a message went. Raises `AccessDenied`, `NotFound`."""

    def progress(self, caller: Caller, session_id: str) -> Progress:
        """Where the session stands. Raises `SessionExpired` for one never known."""

    def refused(self, actor: Actor, action: str, refusal: GatewayError, project: Project | None = None) -> None:
        """A request was refused before it reached any verb; the verbs note their own refusals."""

    async def aside(self, act: Callable[[], T]) -> T:
        """What it returns or raises, done in the event loop's thread; where its verbs wait, the loop may go on."""

    def together(self) -> AbstractContextManager[None] | None:
        """A block of several verbs, of one thread, that cost less so; their answers count once it has ended.

        It raises `gateway.store.Busy` at its end where nothing of it was done. None where it costs no less.
        """

    def ping(self) -> str | None:
        """Why nothing can be served just now, for the operator; None where all is well."""

    def close(self) -> None:
        """Let go of connections."""


class BotGateway(Gateway, Protocol):
    """What the bot asks besides. A hosted gateway has none of it: kod.mobi's own bot does the activation."""

    def linked_session(self, bot_id: int, payload: str) -> LinkedSession:
        """The live session behind a deep link's `start` parameter. Raises `SessionExpired`."""

    def expect(self, bot_id: int, chat_id: int, session: LinkedSession | None) -> None:
        """The contact that this chat shares next is for that session's project; None: for all of the bot's."""

    def expected(self, bot_id: int, chat_id: int, message_id: int) -> ExpectedLogin | None:
        """What this message's contact is for; None: nothing was expected, or another message met it."""

    def met(self, bot_id: int, chat_id: int, login: ExpectedLogin, message_id: int) -> None:
        """The expected contact came with this message. Idempotent."""

    def activate(self, project: Project, phone: Contact, *, bot_id: int, chat_id: int, user_id: int) -> Activation:
        """Link a Telegram chat to the phone it proved, and let parked codes go. Idempotent."""

    def reactivate(self, bot_id: int, chat_id: int) -> int | None:
        """The user is back in a chat that proved its phone before: parked codes let go; None: never proved."""

    def deactivate(self, bot_id: int, chat_id: int) -> bool:
        """The bot can't write to this chat any more. Whether that was news. Idempotent."""

    def pick(self, bot_id: int, chat_id: int, session_id: str, number: int) -> Picked:
        """A number was picked in a chat. It counts only in the one that is linked to the session's phone."""

    def deny(self, bot_id: int, chat_id: int, session_id: str) -> bool:
        """`It wasn't me`, said in a chat: the session is closed, as by a wrong pick; whether it was open."""
