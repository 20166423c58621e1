"""The `Store` protocol: about a dozen verbs, each one transaction. Two modules implement it in plain SQL.

Times are milliseconds since the epoch. A destination is a contact's keyed hash (16 bytes); `sealed` is the
contact itself, encrypted. `tests/test_store.py` is the conformance suite: every store passes the same one.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec

from gateway.channels import Channel
from gateway.clock import AHEAD
from gateway.projects import Project, ProjectSettings
from gateway.store.entries import Actor, By, Entry, Wanted
from gateway.verbs import Delivery

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")
A_DATABASE = "sqlite:///path/to/file or postgresql://user:password@host/name"
HANDED_OVER = 500  # chats at a time, of a project whose bot changes: some 5 ms of SQLite's write lock
SEARCHED = 50_000  # sessions, of whatever project, in which a look searches for one project's: 6 to 15 ms


class StoreError(Exception):
    """The store can't be used as it is; the text says why, for the operator."""


class Busy(Exception):
    """The store could not do it now: locked, full or gone. Nothing was changed."""


class Send(msgspec.Struct, frozen=True):
    """The newest message of one channel. `began_parked`: it waited, or waits, for the bot's activation.

    `instead_of` is the channel whose failure it makes up for; `tap`: as it was sent, it showed the numbers.
    """

    channel: Channel
    state: Delivery
    began_parked: bool
    created_at: int
    instead_of: Channel | None = None
    tap: bool = False


SessionState = Literal["live", "approved", "used", "closed"]


class SessionRow(msgspec.Struct, frozen=True):
    """A session, with what its contact's channels look like right now.

    `browser_mac` stands for the browser that created it, empty where none did; `joined`: somebody else was
    handed it, too. `place` is raw (gateway.place).
    """

    id: str
    project_id: int
    destination: bytes
    sealed: bytes
    kind: str
    lang: str
    browser: str
    code_length: int
    state: SessionState
    attempts_left: int
    created_at: int
    expires_at: int
    browser_mac: bytes
    place: str
    joined: bool
    chat_id: int | None
    active: bool
    last_channel: Channel | None
    sends: tuple[Send, ...] = ()

    def is_over(self, now: int) -> bool:
        """Whether its time is over, or not yet there: then it is from before the clock was put back."""
        return self.expires_at <= now or self.created_at > now + AHEAD


class ApiKey(msgspec.Struct, frozen=True):
    """The hash of an API key. `code_key` goes with a secret one: sealed, it decrypts codes (gateway.aes256)."""

    hash: bytes
    project_id: int
    secret: bool
    code_key: bytes | None = None
    expires_at: int | None = None


class OwnCode(msgspec.Struct, frozen=True):
    """A code that the caller brought: its keyed hash, and itself sealed."""

    mac: bytes
    sealed: bytes
    length: int


class NewSession(msgspec.Struct, frozen=True):
    """What `open_session` inserts when no session lives for its destination."""

    id: str
    project_id: int
    destination: bytes
    sealed: bytes
    code_mac: bytes
    code_length: int
    kind: str
    lang: str
    browser: str
    attempts: int
    now: int
    expires_at: int
    browser_mac: bytes = b""
    place: str = ""
    actor: str = "system"
    prefix: str = ""
    """How a phone begins, for the bill guard to count by (gateway.limits.subjects)."""

    def as_row(
        self, chat_id: int | None, active: bool, last_channel: Channel | None, sends: tuple[Send, ...] = ()
    ) -> SessionRow:
        """What was just inserted, without reading it back."""
        return SessionRow(
            self.id,
            self.project_id,
            self.destination,
            self.sealed,
            self.kind,
            self.lang,
            self.browser,
            self.code_length,
            "live",
            self.attempts,
            self.now,
            self.expires_at,
            self.browser_mac,
            self.place,
            False,
            chat_id,
            active,
            last_channel,
            sends,
        )


class Order(msgspec.Struct, frozen=True):
    """Which channel shall carry the code: `wanted`, else the one that carries it already, else the one last
    used (or the one `most_used`), else `default`.

    `allowed` are those that the project has for this contact; a send within `cooldown` ms is not repeated;
    `hold` chooses without sending; `parks`: a Telegram code waits for the bot's activation. What is queued also
    counts against its channel's of the `ceilings`. `discreet`: whatever the destination did in earlier sessions,
    and however its messages went, the choice is the same: habits don't count, and a failed send does.
    """

    allowed: tuple[Channel, ...]
    wanted: Channel | None
    default: Channel
    cooldown: int
    most_used: bool = False
    hold: bool = False
    parks: bool = True
    ceilings: "Mapping[Channel, Limit]" = {}
    discreet: bool = False


class Opened(msgspec.Struct, frozen=True):
    """The session now living for a destination, and the channel that carries (or carried) its code."""

    session: SessionRow
    sent_to: Channel | None


class Paused(msgspec.Struct, frozen=True):
    """The destination rests until then: its last session was closed by wrong codes."""

    until: int


Whose = Literal["destination", "guesses", "address", "browser", "project", "prefix", "ceiling"]


class Limit(msgspec.Struct, frozen=True):
    """A limit that a use counts against. `key` is a keyed hash of what is counted, of whom.

    A use takes `cost` ms to be forgotten; at most `window` ms may be waiting for that, and beyond `soft` only
    whoever solved a challenge goes on.
    """

    key: bytes
    whose: Whose
    cost: int
    window: int
    soft: int


class Toll(msgspec.Struct, frozen=True):
    """All the limits that one use counts against, or none does; being over one blocks for `first` ms, doubling
    up to `longest`. `proved`: a challenge was solved."""

    limits: tuple[Limit, ...]
    first: int
    longest: int
    proved: bool = True

    def plus(self, limit: Limit | None) -> "Toll":
        """The same, and that limit."""
        return msgspec.structs.replace(self, limits=(*self.limits, limit)) if limit else self


class Guesses(msgspec.Struct, frozen=True):
    """What a destination takes of wrong codes, from strangers or from addresses `known` to it.

    `costs` by the code's length. `address` is the caller's, a keyed hash, which a right code makes known for
    `known_for` ms.
    """

    known: bool
    costs: tuple[int, ...]
    window: int
    address: bytes
    known_for: int

    def cost(self, length: int) -> int:
        """What a wrong code of this length counts."""
        return self.costs[min(length, len(self.costs) - 1)]


class Refused(msgspec.Struct, frozen=True):
    """Over a limit: nothing was done. `whose` is the one that blocks longest, for the `strikes`th time; empty
    where only a challenge is wanted."""

    whose: Whose | Literal[""]
    until: int
    strikes: int


class Queued(msgspec.Struct, frozen=True):
    """What became of a `send`: `cooling` means refused, `unchanged` an idempotent repeat; `repeated` is refused,
    too, but what the channel sent is the very code that was brought."""

    session: SessionRow
    outcome: Literal["queued", "parked", "unchanged", "cooling", "repeated"]


class Pause(msgspec.Struct, frozen=True):
    """How long a destination rests after a session's last wrong code: `first` ms, doubling up to `longest`."""

    first: int
    longest: int


class Tried(msgspec.Struct, frozen=True):
    """A code was compared: `right`, and so the session is used up, or wrong, with `attempts_left`; `era` as in
    `Store.era`."""

    right: bool
    attempts_left: int
    sealed: bytes
    channel: Channel | None
    era: int = 0


class Collected(msgspec.Struct, frozen=True):
    """An approved session was used up."""

    sealed: bytes
    era: int = 0


class Claimed(msgspec.Struct, frozen=True):
    """A message that this process may send until its lease ends.

    `provider` is None but for a server's own (manual/send): there as its caller named it, from 1, or 0 for any.
    """

    id: int
    session_id: str
    project_id: int
    channel: Channel
    lang: str
    sealed: bytes
    code_length: int
    own_code: bytes | None
    attempts: int
    created_at: int
    expires_at: int
    chat_id: int | None
    given_up: int = 0
    provider: int | None = None
    browser: str = ""
    place: str = ""
    tap: bool = False
    """Whether the session can be approved by one tap."""


class Waiting(msgspec.Struct, frozen=True):
    """How many messages of a channel wait, and since when the oldest does."""

    channel: Channel
    messages: int
    oldest_at: int


class EndedSend(msgspec.Struct, frozen=True):
    """A message that a provider took for a session that is over: its code was entered (`used`), or won't be."""

    channel: Channel
    reference: str
    session_id: str
    project_id: int
    state: Literal["used", "closed"]
    sealed: bytes
    code_length: int
    own_code: bytes | None


class Outcome(msgspec.Struct, frozen=True):
    """How sending went. `queued` means again, at `due_at`, by a provider that is not in `given_up` (bits).

    Where it failed, or a report says so, the first channel of `instead` not yet tried, and not over its one of the
    `ceilings`, takes the code over.
    """

    message_id: int
    state: Delivery
    reference: str = ""
    error: str = ""
    due_at: int = 0
    given_up: int = 0
    instead: tuple[Channel, ...] = ()
    tap: bool = False
    ceilings: Mapping[Channel, Limit] = {}


class Round(msgspec.Struct, frozen=True):
    """What there is to send now, and when the next message is due, None where none waits."""

    claimed: list[Claimed]
    next_due: int | None


class Carried(msgspec.Struct, frozen=True):
    """Whose session a message carries the code of."""

    project_id: int
    session_id: str
    sealed: bytes


class Link(msgspec.Struct, frozen=True):
    """A Telegram chat that has proven its phone."""

    project_id: int
    destination: bytes
    bot_id: int
    chat_id: int
    user_id: int


class NewManual(msgspec.Struct, frozen=True):
    """A message that a site's own server sends; `id` is a ULID of its own, to which `sealed` is bound.

    `own_code` is the caller's code, sealed; None: derived from `id`. `repeat_key` and `fingerprint` are keyed
    hashes of the Idempotency-Key and of what was asked under it.
    """

    id: str
    project_id: int
    destination: bytes
    sealed: bytes
    own_code: bytes | None
    code_length: int
    lang: str
    channel: Channel
    now: int
    expires_at: int
    callback_url: str | None
    repeat_key: bytes | None
    fingerprint: bytes
    provider: int | None = None


class ManualRow(msgspec.Struct, frozen=True):
    """Such a message as it stands now."""

    id: str
    message_id: int
    project_id: int
    sealed: bytes
    own_code: bytes | None
    code_length: int
    channel: Channel
    state: Delivery
    error: str
    finished_at: int | None


Ordered = ManualRow | Refused | Literal["other", "unreachable"]
"""What became of an order: the message; `other` means another order has its Idempotency-Key, `unreachable`
that the bot is not active in a chat of this phone, `Refused` that it is over a limit."""


class Callback(msgspec.Struct, frozen=True):
    """A callback that this process may make until its lease ends."""

    message: ManualRow
    url: str
    attempts: int


class Turnout(msgspec.Struct, frozen=True):
    """Of the sessions whose phone begins so: how many had their code sent, and how many were completed."""

    project_id: int
    prefix: str
    sent: int
    entered: int


class Stop(msgspec.Struct, frozen=True):
    """To phones that begin with `prefix`, nothing goes out until then on channels that cost money.

    `actor` is `system` for the bill guard, which found that of `sent` codes only `entered` were, for the
    `strikes`th time lately. `calm_until`: an operator has lifted it, and until then the guard keeps away.
    """

    project_id: int
    prefix: str
    since: int
    until: int
    actor: Actor
    sent: int = 0
    entered: int = 0
    strikes: int = 0
    calm_until: int = 0


class Expected(msgspec.Struct, frozen=True):
    """Whose login a chat's deep link was for, and which message of the chat brought the contact."""

    project_id: int
    session_id: str
    met_by: int | None = None


Taken = Literal["taken", "busy", "done"]
"""What became of an update that was to be taken: it is ours; another process is at it; it is handled."""


T = TypeVar("T")


class Store(Protocol):
    """Where everything is kept. Every verb may raise `Busy`.

    A power loss, or a crash of the server, may take the last commits: no session from before then counts.
    """

    def migrate(self) -> int:
        """Bring the schema up to date, under a lock; how many migrations ran. Raises `StoreError`.

        A migration whose file is named `….expands.sql` only adds what code from before need not know: such code
        goes on, and starts, beside it. Any other that it does not know is a `StoreError`.
        """

    def behind(self) -> int:
        """How many migrations are still to run, which changes nothing. Raises `StoreError` as `migrate` does."""

    def close(self) -> None:
        """Let go of this thread's connection, or of the process's; the next verb connects again."""

    async def aside(self, act: Callable[[], T]) -> T:
        """What it returns or raises, done in the event loop's thread. Where its verbs wait for a server, the loop
        goes on meanwhile, and so do others that were begun aside."""

    def together(self) -> AbstractContextManager[None] | None:
        """A block in which what this thread's verbs write is committed at its end, at once: that costs less.

        Each is done as a whole or not at all, as ever, but nobody may be told of it before the block has ended.
        That raises `Busy` where it can't be committed: then none of it was done. An activation does not fit in:
        it is to outlast a power loss. None where it costs no less.
        """

    def ping(self) -> None:
        """Commit something, so that a full or read-only disk shows. Raises `Busy`."""

    def keep(self, name: str, value: bytes) -> bytes:
        """Store `value` under `name` unless something is there already; what is there."""

    def replace(self, name: str, value: bytes) -> None:
        """Store `value` under `name`."""

    def projects(self) -> list[Project]:
        """Every project, oldest first."""

    def api_keys(self) -> list[ApiKey]:
        """Every key of every project."""

    def add_project(self, settings: ProjectSettings, now: int, by: By | None = None) -> Project:
        """A new project, without keys."""

    def change_project(self, project_id: int, settings: ProjectSettings, by: By | None = None) -> None:
        """New settings for a project; where its bot changes, its chats wait to be reactivated at the new one.

        They are handed over first, some at a time: where that is broken off, the next call goes on with it. Raises
        `Busy`, too, where another changed the settings meanwhile.
        """

    def ensure_first_project(
        self,
        settings: ProjectSettings,
        public: bytes,
        secret: bytes,
        code_key: bytes,
        now: int,
        old_until: int = 0,
    ) -> None:
        """Add a first project if there is none, and give it these keys. Raises `StoreError` as `set_keys`.

        Where it has them already, those that they replaced end, if `old_until` is over.
        """

    def set_keys(
        self,
        project_id: int,
        public: bytes,
        secret: bytes,
        code_key: bytes,
        old_until: int,
        by: By | None = None,
    ) -> None:
        """New keys for a project; those it had end at `old_until`. Raises `StoreError` where one is taken."""

    def reseal_key(self, digest: bytes, code_key: bytes) -> None:
        """Another seal of the same code key."""

    def open_session(
        self,
        new: NewSession,
        order: Order | None,
        toll: Toll | None = None,
        guesses: Guesses | None = None,
    ) -> Opened | Paused | Refused:
        """Insert the session, or return the one that lives; queue its code where `order` asks for it.

        Where the one that lives was created by a browser, anybody else to whom it is returned joins it. What is
        inserted or queued counts against `toll`; a destination without `guesses` left is paused. A pause is for
        strangers: not for those whom `guesses` says to be known.
        """

    def session(self, project_id: int | None, session_id: str) -> SessionRow | None:
        """A session that is still the newest of its destination; `project_id` None looks in all projects."""

    def sessions(self, session_ids: Sequence[str]) -> dict[str, SessionRow]:
        """Those of these that are still the newest of their destination, by id, of any project."""

    def queue(
        self,
        project_id: int,
        session_id: str,
        channel: Channel,
        now: int,
        cooldown: int,
        own: OwnCode | None = None,
        parks: bool = True,
        toll: Toll | None = None,
        actor: str = "system",
    ) -> Queued | Refused | None:
        """Queue a live session's code, or, where it `parks`, keep it for the bot; None: no such session lives.

        What is queued counts against `toll`. It carries `own`, if given, which from then on is the session's code;
        so does what is still parked.
        """

    def set_code(self, project_id: int, session_id: str, own: OwnCode, now: int) -> bool:
        """From now on this is a live session's code; whether it lives."""

    def try_code(
        self,
        project_id: int,
        session_id: str,
        macs: Sequence[bytes],
        now: int,
        pause: Pause,
        toll: Toll | None = None,
        guesses: Guesses | None = None,
        actor: str = "system",
    ) -> Tried | Refused | None:
        """Count one attempt; a right one uses the session up, once. None where there is nothing to try.

        Whatever is not right counts against `toll`, a wrong code against `guesses`, too; over one of them,
        nothing is compared.
        """

    def is_known(self, destination: bytes, address: bytes, now: int) -> bool:
        """Whether somebody has lately entered a right code for the destination from this address."""

    def pick(
        self, bot_id: int, chat_id: int, session_id: str, right: bool, now: int, pause: Pause
    ) -> Literal["approved", "again", "closed", "joined"] | None:
        """A number was picked in a chat: the `right` one approves the session, once, a wrong one closes it.

        `again`: it was approved before; nothing changed. `joined`: it is open, but no longer to one tap. None
        where the bot and chat are not linked to it, and active, or it is over.
        """

    def deny(self, bot_id: int, chat_id: int, session_id: str, now: int, pause: Pause) -> bool:
        """Close the session, as a wrong pick does; whether it was open to this chat."""

    def collect(
        self, project_id: int, session_id: str, browser_mac: bytes, now: int, actor: str = "system"
    ) -> Collected | None:
        """Use up an approved session for the browser that created it, once."""

    def era(self) -> int:
        """A number for the time since the last commits may have been lost (see above), to be spent with."""

    def spend(self, session_id: str, era: int, entry: Entry | None = None) -> bool:
        """Spend a session's verify token, or a challenge (by its own ULID): True for the first to come, and for
        nobody where it is from another era.

        That one's `entry`, if given, goes into the audit log.
        """

    def turnout(self, project_id: int, after: int, before: int, most: int) -> tuple[int, int]:
        """Of a project's newest `most` sessions begun from `after` to `before`: how many there are, and were
        completed. Those are left out that are not among the `SEARCHED` newest of all projects.
        """

    def activate(self, link: Link, now: int, toll: Toll | None = None) -> tuple[bool, int] | Refused:
        """Link the chat, durably, and release parked codes; whether it was news, and how many codes went.

        News counts against `toll`.
        """

    def reactivate(self, bot_id: int, chat_id: int, now: int) -> int | None:
        """Mark every link of the chat reachable again and release parked codes: how many; None: no link."""

    def deactivate(self, bot_id: int, chat_id: int, now: int) -> bool:
        """Mark the chat unreachable; whether that was news."""

    def deliver(
        self, outcomes: Sequence[Outcome], now: int, lease: int, channels: Sequence[Channel], most: int
    ) -> Round:
        """Write down how sending went; then take up to `most` due messages of these channels for `lease` ms.

        Oldest first; those of dead sessions are failed. All in one transaction.
        """

    def report(
        self,
        channel: Channel,
        reference: str,
        state: Literal["delivered", "failed"],
        error: str,
        instead: Sequence[Channel],
        now: int,
        ceilings: Mapping[Channel, Limit] | None = None,
    ) -> bool:
        """What a provider tells of a message that it took; kept where that is not yet written down as sent.

        Reports come in any order and more than once: delivered is the last word. `instead` and `ceilings` as in
        `Outcome`. Whether it was news.
        """

    def carried(self, channel: Channel, reference: str) -> Carried | None:
        """The session whose code a provider's message carries; None where there is none, or not yet."""

    def ended_sends(self, session_id: str) -> list[EndedSend]:
        """The messages of a session that is used or closed, of those that a provider gave its own name to."""

    def add_manual(self, new: NewManual, toll: Toll | None = None) -> Ordered:
        """Queue a server's own message, once for its `repeat_key`; what is new counts against `toll`."""

    def manual(self, project_id: int, message_id: int) -> ManualRow | None:
        """A server's own message."""

    def claim_callbacks(self, now: int, lease: int, most: int) -> list[Callback]:
        """Take up to `most` due callbacks; `deliver` makes one due when its message is final."""

    def finish_callback(self, message_id: int, due_at: int | None, *, tried: bool = True) -> None:
        """A callback was made, or is given up (None), or is due again then; not `tried`: claimed in vain."""

    def next_callback(self) -> int | None:
        """When the next callback is due, None where none waits."""

    def put_right(self, now: int, longest: int) -> int:
        """After the clock was put back: nothing waits or is leased longer than `longest` ms, and messages of
        sessions that are void by it are failed; how many rows changed.
        """

    def turnouts(self, after: int, before: int, most: int, channels: Sequence[Channel]) -> list[Turnout]:
        """How the newest `most` sessions begun from `after` to `before` turned out, by project and prefix.

        Only those with a message on one of `channels` that did not fail; and none from before a stop of its
        prefix ended, or while an operator's lift of it holds.
        """

    def stops(self) -> list[Stop]:
        """Every stop, in force or lately so."""

    def stop(self, new: Stop, entry: Entry) -> bool:
        """Stop a prefix, with `entry` in the audit log; whether it was news.

        An operator's replaces what there is; the guard's does not where a stop is in force or a lift holds.
        """

    def lift(self, project_id: int, prefix: str, now: int, calm_until: int, entry: Entry) -> bool:
        """End a stop that is in force, with `entry` in the audit log; whether there was one."""

    def full(self, ceilings: Sequence[Limit], now: int) -> list[Limit]:
        """Those that take nothing more."""

    def tell_full(self, ceiling: Limit, entry: Entry) -> bool:
        """Write into the audit log that a ceiling is reached, once for its day; whether this was the time."""

    def backlog(self) -> list[Waiting]:
        """What waits for a provider, or is with one, by channel; what is parked waits for a person."""

    def last_event(self) -> int:
        """The newest event's number, of those that can be seen."""

    def events_since(self, number: int, most: int, missing: Sequence[int] = ()) -> list[tuple[int, str]]:
        """Events after `number`, and those of `missing` that are there by now: (number, session id), by number.

        A number is given where an event is written, and seen once that is committed. Where many write at once
        (PostgreSQL), a lower number may be seen after a higher one; a reader therefore asks again for the numbers
        that were left out (gateway.events). One that stays away was rolled back. Whatever makes an event seen also
        wakes every `Watch`, after it can be seen and not before.
        """

    def hold(self, name: str, holder: str, now: int, lease: int) -> bool:
        """Take or renew a lease of that name until `now + lease`; whether it is `holder`'s.

        It is, unless another holder's still runs. Holders are processes, each with a name that no other has.
        """

    def let_go(self, name: str, holder: str) -> None:
        """End the lease, if it is this holder's, so that another need not wait for it."""

    def take_update(self, bot_id: int, update_id: int, now: int, lease: int) -> Taken:
        """Take a Bot API update until `now + lease`, unless it is handled or a lease of it still runs."""

    def end_update(self, bot_id: int, update_id: int, handled: bool) -> None:
        """The update is handled, for good; or it is not, and may be taken at once."""

    def expect(self, bot_id: int, chat_id: int, expected: Expected | None) -> None:
        """The contact that this chat shares is for that login, or was; None: for none in particular."""

    def expected(self, bot_id: int, chat_id: int) -> Expected | None:
        """What was last expected of the chat."""

    def forget(self, project_id: int, destination: bytes, by: By) -> dict[str, int]:
        """Delete what is kept of a person in a project, and note that somebody was; how many rows, by kind."""

    def purge(self, before: int, most: int, settled: int | None = None) -> int:
        """Forget up to `most` sessions, messages, events and updates from `before`; how many rows went.

        What outlives them, as it keeps somebody from something, goes by `settled` where that is earlier: spent
        tokens, stops, and what was counted. That is looked at a part at a time, from one call to the next; nothing
        that still counts goes.
        """

    def purge_ahead(self, after: int, most: int) -> int:
        """Forget up to `most` sessions, messages, events and expected contacts that are dated later than `after`,
        by a clock that was ahead; how many rows went.

        A server's own message is kept until it is final and has been called back.
        """

    def note(self, entries: Sequence[Entry]) -> None:
        """Append to the audit log what no other transaction has written there: refusals, mostly."""

    def audit(self, wanted: Wanted) -> list[Entry]:
        """What stands in the audit log, newest last. Raises `StoreError` where the store can't be asked at all."""

    def purge_audit(self, before: int, rows: int, most: int, ahead: int) -> int:
        """Let up to `most` of the log's oldest entries go: those from `before`, and, of what logins left, those
        that are not among the newest `rows`; how many went.

        One that is dated later than `ahead`, by a clock that was, goes once another goes that was written after.
        """

    def checkpoint(self) -> None:
        """Move what was committed to where it stays, while others go on: some tens of milliseconds. Raises `Busy`.

        To be called every second or so, by any number of processes; where nobody does, writers do it themselves
        and their callers wait for it. PostgreSQL has a process of its own for that.
        """

    def watch(self) -> "Watch":
        """A view that tells when something was committed that others wait for."""


class Watch(Protocol):
    """Tells that a message, a callback or an event was committed, by any process; it may tell of more."""

    async def changed(self, timeout: float) -> bool:
        """Wait until something was committed, at most `timeout` seconds; whether it was."""

    def close(self) -> None:
        """Let go of its connection."""


def open_store(url: str, listen_url: str = "", connections: int = 8) -> Store:
    """The store of a `DATABASE_URL`. Raises `StoreError`.

    On PostgreSQL, a process has at most so many `connections`, and listens at `listen_url` where a pooler stands
    in between.
    """
    if url.startswith(POSTGRES):
        from gateway.store.postgres import PostgresStore

        return PostgresStore(url, listen_url, connections)
    if not url.startswith(SQLITE):
        raise StoreError(f"a database must be {A_DATABASE}")
    from gateway.store.sqlite import SqliteStore

    return SqliteStore(url.removeprefix(SQLITE))


def is_there(url: str) -> bool:
    """Whether there is a database: of a server, as far as one knows without asking; of SQLite, the file."""
    try:
        return url.startswith(POSTGRES) or Path(url.removeprefix(SQLITE)).exists()
    except PermissionError:
        return True  # who opens it is told so


def without_password(url: str) -> str:
    """A `DATABASE_URL` as it may be shown."""
    parts = urlsplit(url)
    if not url.startswith(POSTGRES):
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
