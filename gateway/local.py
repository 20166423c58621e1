"""`LocalGateway`: the verbs on our own store."""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import msgspec

from gateway import aes256, codes, errors
from gateway.addresses import is_callable_url
from gateway.audit import Ledger, audited, reason_of
from gateway.bill.guard import BillGuard
from gateway.book import ProjectBook
from gateway.challenge import Gate
from gateway.channels import Channel, SessionChannel
from gateway.clock import Clock, system_clock, to_iso
from gateway.contact import Contact, contact_of
from gateway.faces import Faces, is_discreet, whole_seconds
from gateway.i18n import DEFAULT_LANGUAGE, N_
from gateway.ids import new_ulid
from gateway.keyring import Destinations, Keyring, Unsealable
from gateway.limits.limiter import Limiter, refusal_of
from gateway.limits.subjects import range_prefix
from gateway.log import holding_lines
from gateway.manual import ManualSends
from gateway.metrics import Metrics
from gateway.place import known_place
from gateway.projects import Project
from gateway.reach import Reach, Ways
from gateway.settings import Settings
from gateway.store import (
    Busy,
    Claimed,
    EndedSend,
    Expected,
    Link,
    NewSession,
    Opened,
    Order,
    OwnCode,
    Pause,
    Paused,
    Queued,
    Refused,
    SessionRow,
    Store,
    Tried,
)
from gateway.store.entries import Actor, Entry
from gateway.tap import Numbers, numbers_of
from gateway.tokens import InvalidToken, Tokens, read_payload
from gateway.verbs import (
    Activation,
    Caller,
    Challenge,
    Checked,
    CodeForm,
    Created,
    Draft,
    ExpectedLogin,
    LinkedSession,
    ManualSent,
    MessageStatus,
    Picked,
    Progress,
    ProjectName,
    Sent,
    SettingsAnswer,
    Verified,
)

log = logging.getLogger(__name__)

T = TypeVar("T")


class _Proof(msgspec.Struct, frozen=True, array_like=True):
    """What a verify token carries: the contact stays sealed."""

    project_id: int
    session_id: str
    sealed: bytes
    channel: Channel | None
    era: int = 0
    is_test: bool = False


class LocalGateway:
    """Implements `gateway.verbs.BotGateway`; there each verb is described."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock = system_clock,
        metrics: Metrics | None = None,
    ) -> None:
        self.store = store
        self.metrics = metrics or Metrics()
        self.keyring = Keyring(settings.secret_keys)
        self.projects = ProjectBook(store, self.keyring, clock)
        self.audit = Ledger(store, clock, settings.audit_flush_seconds, settings.audit_detailed, self.metrics)
        self.clock = clock
        self._config = settings
        self._destinations = Destinations(_pepper(store, self.keyring))
        self._verify_tokens = Tokens(self.keyring, "verify", _Proof, settings.verify_token_seconds, clock)
        limits = settings.limits == "on"
        self._cooldown = settings.cooldown_seconds * 1000 if limits else 0
        self._pause = Pause(settings.pause_seconds * 1000, settings.pause_longest_seconds * 1000)
        if not limits:
            self._pause = Pause(0, 0)
        self._limiter = Limiter(settings, self._destinations)
        self.bill = BillGuard(store, settings, clock)
        self.reach = Reach(settings, self.projects, self.keyring, self.bill)
        self._faces = Faces(settings, self.keyring, self._destinations, self.reach, self._cooldown)
        self._manual = ManualSends(store, self.keyring, self._destinations, self._limiter, self.bill)
        self._gate = Gate(store, self.keyring, self.projects, settings, clock)

    def authenticate(self, key: str | None) -> tuple[Project, bool]:
        return self.projects.by_key(key)

    def refused(
        self, actor: Actor, action: str, refusal: errors.GatewayError, project: Project | None = None
    ) -> None:
        if not refusal.noted:
            refusal.noted = True
            reason, detail = reason_of(refusal)
            self.audit.note(actor, action, project.id if project else None, reason=reason, detail=detail)

    def project(self, project_id: int) -> Project | None:
        return self.projects.by_id(project_id)

    @audited("session.create")
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
        project, now = caller.project, self.clock()
        if code is not None and project.settings.test_code(to.value):
            code = None  # it has one
        if code is not None:
            code = self._brought(caller, code)
        ways = self.reach.some_ways(project, to, channel)
        proved = self._gate.admit(caller)  # last, as what it takes is good once
        new = self._new_session(caller, to, now, legacy)
        while True:
            order = self._order(caller, to, ways, channel, legacy, hold=code is not None) if send else None
            try:
                opened = self._open(caller, to, new, order, proved=proved)
            except errors.ChannelUsedUp:  # by others, since we looked
                former, ways = ways, self.reach.some_ways(project, to, channel)
                if len(ways.open) >= len(former.open):
                    raise
            else:
                break
        self._note_opened(caller, new, opened)
        if code is not None:
            opened = self._carry_own_code(caller, opened, code)
        session = opened.session
        return Created(
            session.id,
            to_iso(session.expires_at),
            opened.sent_to or "none",
            self._faces.of(caller, ways, ways.open, session, now),
        )

    @audited("session.send")
    def send(self, caller: Caller, session_id: str, channel: Channel, *, code: str | None = None) -> Sent:
        now = self.clock()
        session = self._live(caller, session_id, now)
        self.reach.must_reach(caller.project, session.kind, channel)
        if code is not None and self._is_test(caller.project, session.sealed, session_id):
            code = None  # it has one
        own = self._own_code(session_id, self._brought(caller, code)) if code is not None else None
        ways = self.reach.ways_of(caller.project, session)
        ways.must_take(channel)
        if self._faces.rests_unseen(caller, session, channel, now):
            [face] = self._faces.of(caller, ways, (channel,), session, now)
            return Sent(session_id, to_iso(session.expires_at), face)
        queued = self._queue(caller, session, ways, channel, own, now)
        if queued is None:
            raise errors.SessionExpired
        [face] = self._faces.of(caller, ways, (channel,), queued.session, now)
        refused = queued.outcome in ("cooling", "repeated")
        # To a page a released code's repeat is as good as sent; in the chat it would be silence.
        if refused or (caller.telegram and queued.outcome == "unchanged"):
            raise errors.TooSoon(face.timeout)
        return Sent(session_id, to_iso(session.expires_at), face)

    def channels(self, caller: Caller, session_id: str | None = None) -> list[SessionChannel]:
        project, now = caller.project, self.clock()
        session = self._live(caller, session_id, now) if session_id else None
        ways = self.reach.ways_of(project, session)
        return self._faces.of(caller, ways, ways.open, session, now)

    @audited("session.check")
    def check(self, caller: Caller, session_id: str, code: object) -> Checked:
        project = caller.project
        macs = [mac for one in codes.read_code(code) for mac in self.keyring.code_macs(session_id, one)]
        tried = self._try(caller, session_id, macs)
        if tried is None:
            raise errors.SessionExpired
        if not tried.right:
            refusal = errors.WrongCode(tried.attempts_left)
            refusal.noted = True  # in the transaction that counted it
            raise refusal
        self.metrics.login(project.id, tried.channel or "none")
        is_test = self._is_test(project, tried.sealed, session_id)
        proof = _Proof(project.id, session_id, tried.sealed, tried.channel, tried.era, is_test)
        return Checked(self._verify_tokens.sign(proof), is_test)

    @audited("session.collect")
    def collect(self, caller: Caller, session_id: str) -> Checked:
        project = caller.project
        browser = self._destinations.browser(project.id, caller.browser_key)
        collected = self.store.collect(project.id, session_id, browser, self.clock(), caller.actor)
        if collected is None:
            raise errors.SessionExpired
        self.metrics.login(project.id, Channel.TELEGRAM)
        proof = _Proof(project.id, session_id, collected.sealed, Channel.TELEGRAM, collected.era)
        return Checked(self._verify_tokens.sign(proof))

    @audited("session.verify")
    def verify(self, caller: Caller, verify_token: str) -> Verified:
        if not caller.secret:
            raise errors.AccessDenied
        try:
            proof, _ = self._verify_tokens.read(verify_token)
        except InvalidToken:
            raise errors.SessionExpired from None
        if proof.project_id != caller.project.id:
            log.info("verify: a token of project %s, the key of project %s", proof.project_id, caller.project.id)
            raise errors.SessionExpired
        done = Entry(self.clock(), caller.actor, "session.verify", caller.project.id, proof.session_id)
        if not self.store.spend(proof.session_id, proof.era, done):
            raise errors.SessionExpired
        contact = self.keyring.open(proof.sealed, proof.session_id)
        return Verified(
            to=contact,
            session_id=proof.session_id,
            verified_at=to_iso(self.clock()),
            phone=None if "@" in contact else contact,
            email=contact if "@" in contact else None,
            channel=proof.channel,
            is_test=proof.is_test,
        )

    def settings(self, caller: Caller, session_id: str | None = None) -> SettingsAnswer:
        language = self._live(caller, session_id, self.clock()).lang if session_id else caller.lang
        chosen = caller.project.settings
        code = CodeForm(chosen.code_length, chosen.digits, chosen.letters)
        return SettingsAnswer(language, ProjectName(chosen.name), code, self._gate.challenge_of(caller.project))

    def challenge_of(self, project: Project, *, demanded: bool = False) -> Challenge:
        return self._gate.challenge_of(project, demanded=demanded)

    def new_challenge(self, project: Project) -> dict[str, Any]:
        return self._gate.new_challenge(project)

    @audited("manual.send")
    def manual_send(self, caller: Caller, draft: Draft) -> ManualSent:
        if not caller.secret:
            raise errors.AccessDenied
        self.reach.must_reach(caller.project, draft.to.kind, draft.channel)
        self.reach.must_allow(caller.project, draft)
        if draft.callback_url and not is_callable_url(draft.callback_url, self._config.callback_networks):
            raise errors.BadRequest("callback_url", N_("must be a public http(s) address"))
        now = self.clock()
        ulid = new_ulid(now)
        own = self._own_code(ulid, self._brought(caller, draft.code)) if draft.code is not None else None
        return self._manual.send(caller, draft, own, ulid, now)

    def message(self, caller: Caller, message_id: int) -> MessageStatus:
        if not caller.secret:
            raise errors.AccessDenied
        return self._manual.status(caller.project, message_id)

    def progress(self, caller: Caller, session_id: str) -> Progress:
        session = self.store.session(caller.project.id, session_id)
        if session is None:
            raise errors.SessionExpired
        return self.progress_of(caller, session)

    def progress_of(self, caller: Caller, session: SessionRow) -> Progress:
        """Of a session just read, of the caller's project."""
        now = self.clock()
        ways = self.reach.ways_of(caller.project, session)
        over = session.state in ("live", "approved") and session.is_over(now)
        return Progress(
            "expired" if over else session.state,
            session.expires_at,
            self._faces.of(caller, ways, ways.open, session, now),
            self._faces.deliveries(caller, session),
            session.code_length,
            {send.channel: send.instead_of for send in session.sends if send.instead_of},
            None if over else self._faces.number(caller, session),
            session.joined,
        )

    async def aside(self, act: Callable[[], T]) -> T:
        return await self.store.aside(act)

    def together(self) -> AbstractContextManager[None] | None:
        block = self.store.together()
        return None if block is None else self._together(block)

    @contextmanager
    def _together(self, block: AbstractContextManager[None]) -> Iterator[None]:
        with holding_lines(), self.audit.holding(), self.metrics.holding(), block:
            yield

    def ping(self) -> str | None:
        try:
            self.store.ping()
        except Busy as problem:
            return str(problem)
        return None

    def close(self) -> None:
        self._gate.close()
        self.audit.close()
        self.store.close()

    def linked_session(self, bot_id: int, payload: str) -> LinkedSession:
        try:
            session_id = read_payload(self.keyring, payload)
        except InvalidToken:
            self.audit.note("telegram", "bot.link", reason="SessionExpired", detail="not a link of ours")
            raise errors.SessionExpired from None
        session = self.store.session(None, session_id)
        project = self.projects.by_id(session.project_id) if session else None
        if session is None or project is None or project.settings.bot_id != bot_id:
            self.audit.note("telegram", "bot.link", None, session_id, reason="SessionExpired", detail="unknown")
            raise errors.SessionExpired
        if session.state != "live" or session.is_over(self.clock()):
            self.audit.note("telegram", "bot.link", project.id, session_id, reason="SessionExpired")
            raise errors.SessionExpired
        contact = Contact("phone", self.keyring.open(session.sealed, session.id))
        return LinkedSession(
            session.id,
            project,
            contact,
            session.lang,
            session.browser,
            session.chat_id,
            session.active,
            session.place,
        )

    def expect(self, bot_id: int, chat_id: int, session: LinkedSession | None) -> None:
        self.store.expect(bot_id, chat_id, Expected(session.project.id, session.id) if session else None)

    def expected(self, bot_id: int, chat_id: int, message_id: int) -> ExpectedLogin | None:
        known = self.store.expected(bot_id, chat_id)
        if known is None or known.met_by not in (None, message_id):
            return None
        project = self.projects.by_id(known.project_id)
        if project is None:
            return None
        session = self.store.session(project.id, known.session_id)
        contact = Contact("phone", self.keyring.open(session.sealed, session.id)) if session else None
        lang = session.lang if session else DEFAULT_LANGUAGE
        return ExpectedLogin(project, known.session_id, contact, lang)

    def met(self, bot_id: int, chat_id: int, login: ExpectedLogin, message_id: int) -> None:
        self.store.expect(bot_id, chat_id, Expected(login.project.id, login.session_id, message_id))

    def activate(self, project: Project, phone: Contact, *, bot_id: int, chat_id: int, user_id: int) -> Activation:
        destination = self._destinations.hash(project.id, phone.value)
        link = Link(project.id, destination, bot_id, chat_id, user_id)
        now = self.clock()
        toll = self._limiter.activations(project.id, destination, bot_id, chat_id)
        activated = self.store.activate(link, now, toll)
        if isinstance(activated, Refused):
            refusal = refusal_of(activated, now)
            self.metrics.action("bot.activate", type(refusal).__name__)
            raise refusal
        changed, released = activated
        if changed:
            self.metrics.action("bot.activate")
        return Activation(released, changed)

    def reactivate(self, bot_id: int, chat_id: int) -> int | None:
        return self.store.reactivate(bot_id, chat_id, self.clock())

    def deactivate(self, bot_id: int, chat_id: int) -> bool:
        stopped = self.store.deactivate(bot_id, chat_id, self.clock())
        if stopped:
            self.metrics.action("bot.stop")
        return stopped

    def pick(self, bot_id: int, chat_id: int, session_id: str, number: int) -> Picked:
        session = self.store.session(None, session_id)
        try:
            numbers = self.numbers_of(session) if session else None
        except Unsealable:
            numbers = None
        if session is None or numbers is None or number not in numbers.shown:
            self.audit.note("telegram", "tap.pick", None, session_id, reason="over", detail="not a button of ours")
            return "over"
        right = number == numbers.right
        picked = self.store.pick(bot_id, chat_id, session_id, right, self.clock(), self._pause)
        if picked == "again":
            return "approved"  # who presses twice is told nothing else
        if picked in (None, "joined"):
            self.audit.note("telegram", "tap.pick", session.project_id, session_id, reason=picked or "over")
        else:
            self.metrics.action("tap.pick", "done" if picked == "approved" else "WrongNumber")
        return "wrong" if picked == "closed" else picked or "over"

    def deny(self, bot_id: int, chat_id: int, session_id: str) -> bool:
        denied = self.store.deny(bot_id, chat_id, session_id, self.clock(), self._pause)
        if denied:
            self.metrics.action("tap.deny")
        else:
            self.audit.note("telegram", "tap.deny", None, session_id, reason="over")
        return denied

    def hash_of(self, caller: Caller, to: Contact) -> bytes:
        """What stands for a contact in the store."""
        return self._destinations.hash(caller.project.id, to.value)

    def hashes_of(self, to: Contact) -> dict[int, bytes]:
        """The same, in every project by its number."""
        return {project.id: self._destinations.hash(project.id, to.value) for project in self.store.projects()}

    # Under limits: as anybody first, and where the destination takes no more of those, as one it knows

    def _open(
        self,
        caller: Caller,
        to: Contact,
        new: NewSession,
        order: Order | None,
        *,
        proved: bool,
        known: bool = False,
    ) -> Opened:
        held = order is not None and order.hold  # it counts when it is queued
        toll = self._limiter.sends(caller, to, new.destination, proved=proved, known=known)
        opened = self.store.open_session(
            new, order, None if held else toll, self._limiter.guesses(caller, known=known)
        )
        if isinstance(opened, Opened):
            return opened
        if isinstance(opened, Refused) and opened.whose == "ceiling":
            self.bill.forget(caller.project)
        if isinstance(opened, Refused) and not opened.whose:
            self._gate.demand(caller)
            return self._open(caller, to, new, order, proved=True, known=known)
        if not known and _is_others(opened) and self._is_known(caller, new.destination, new.now):
            return self._open(caller, to, new, order, proved=proved, known=True)
        if isinstance(opened, Paused):
            raise errors.DestinationBlocked(whole_seconds(opened.until - new.now))
        raise refusal_of(opened, new.now)

    def _queue(
        self,
        caller: Caller,
        session: SessionRow,
        ways: Ways,
        channel: Channel,
        own: OwnCode | None,
        now: int,
    ) -> Queued | None:
        order = (caller.project.id, session.id, channel, now, self._cooldown, own, ways.parks)
        to = contact_of(session.kind, self._contact_of(session))
        ceiling = self.reach.ceilings(caller.project, free=ways.parks or session.active).get(channel)
        toll = self._limiter.sends(caller, to, session.destination, proved=True, ceiling=ceiling)
        queued = self.store.queue(*order, toll, caller.actor)
        if _is_others(queued) and self._is_known(caller, session.destination, now):
            toll = self._limiter.sends(caller, to, session.destination, proved=True, known=True, ceiling=ceiling)
            queued = self.store.queue(*order, toll, caller.actor)
        if isinstance(queued, Refused):
            self.bill.forget(caller.project)
            raise refusal_of(queued, now)
        return queued

    def _try(self, caller: Caller, session_id: str, macs: list[bytes]) -> Tried | None:
        limiter, project_id, now = self._limiter, caller.project.id, self.clock()
        toll = limiter.checks(caller)
        guesses = limiter.guesses(caller)
        tried = self.store.try_code(project_id, session_id, macs, now, self._pause, toll, guesses, caller.actor)
        if _is_others(tried):
            session = self.store.session(project_id, session_id)
            if session and self._is_known(caller, session.destination, now):
                guesses = limiter.guesses(caller, known=True)
                tried = self.store.try_code(
                    project_id, session_id, macs, now, self._pause, toll, guesses, caller.actor
                )
        if isinstance(tried, Refused):
            raise refusal_of(tried, now)
        return tried

    def _is_test(self, project: Project, sealed: bytes, session_id: str) -> bool:
        """Whether a session is a test contact's; hardly any project has one, and then nothing need be opened."""
        chosen = project.settings
        return bool(chosen.test_codes and chosen.test_code(self.keyring.open(sealed, session_id)))

    def _is_known(self, caller: Caller, destination: bytes, now: int) -> bool:
        address = self._limiter.address(caller)
        return bool(address) and self.store.is_known(destination, address, now)

    def _contact_of(self, session: SessionRow) -> str:
        try:
            return self.keyring.open(session.sealed, session.id)
        except Unsealable:
            raise errors.SessionExpired from None  # nobody could send its code

    # What the verbs share

    def _new_session(self, caller: Caller, to: Contact, now: int, legacy: bool) -> NewSession:
        project, session_id = caller.project, new_ulid(now)
        chosen = project.settings
        length = chosen.legacy_code_length if legacy else chosen.code_length
        code = chosen.test_code(to.value)
        if code:
            length = len(code)
        else:
            code = codes.derive_code(self.keyring.first.code, session_id, chosen.alphabet, length)
        return NewSession(
            id=session_id,
            project_id=project.id,
            destination=self._destinations.hash(project.id, to.value),
            sealed=self.keyring.seal(to.value, session_id),
            code_mac=self.keyring.code_mac(session_id, code),
            code_length=length,
            kind=to.kind,
            lang=caller.lang,
            browser=caller.browser,
            attempts=self._config.code_attempts,
            now=now,
            expires_at=now + chosen.session_seconds * 1000,
            browser_mac=self._destinations.browser(project.id, caller.browser_key),
            place=known_place(caller.place),
            actor=caller.actor,
            prefix=range_prefix(to.value) if to.kind == "phone" else "",
        )

    def _note_opened(self, caller: Caller, new: NewSession, opened: Opened) -> None:
        """Not in the transaction itself, where one more page would cost a quarter of it (docs/security.md)."""
        actor, project_id, session_id = caller.actor, caller.project.id, opened.session.id
        if session_id != new.id:
            self.audit.note(actor, "session.create", project_id, session_id, detail="the one that lives")
            return
        self.metrics.session(project_id, opened.sent_to or "none")
        detail = opened.sent_to or "not sent"
        self.audit.record(
            Entry(new.now, actor, "session.create", project_id, session_id, new.destination, "", detail)
        )

    def _brought(self, caller: Caller, code: str) -> str:
        """The code that a caller brought, in the form that is compared.

        It needs the secret key, encrypted or not: who sets a code can enter it. Encrypted, it is bound to
        nobody, so that who has seen one could set it for others; and what is said of one that can't be read would
        tell, in the end, how to make one. Raises `AccessDenied`, `BadRequest`.
        """
        if not caller.secret:
            raise errors.AccessDenied
        if aes256.is_encoded(code):
            code = self._decode(caller.project, code)
        [code] = codes.read_code(code)
        return code

    def _own_code(self, session_id: str, code: str) -> OwnCode:
        mac, sealed = self.keyring.code_mac(session_id, code), self.keyring.seal(code, session_id)
        return OwnCode(mac, sealed, len(code))

    def _decode(self, project: Project, code: str) -> str:
        for key in self.projects.code_keys(project.id):
            try:
                return aes256.decode_code(code, key)
            except aes256.NotDecodable:
                continue
        raise errors.BadRequest("code", N_("is not encrypted with this project's secret key"))

    def _carry_own_code(self, caller: Caller, opened: Opened, code: str) -> Opened:
        """Which session it is for is known only now: the code is sealed for it alone."""
        session, now = opened.session, self.clock()
        own = self._own_code(session.id, code)
        if opened.sent_to is None:
            self.store.set_code(caller.project.id, session.id, own, now)
            return opened
        if self._faces.rests_unseen(caller, session, opened.sent_to, now):
            return opened
        ways = self.reach.ways_of(caller.project, session)
        queued = self._queue(caller, session, ways, opened.sent_to, own, now)
        if queued is None:
            return opened
        if queued.outcome == "cooling":  # with another code
            [face] = self._faces.of(caller, ways, (opened.sent_to,), queued.session, now)
            raise errors.TooSoon(face.timeout)
        return Opened(queued.session, opened.sent_to)

    def _live(self, caller: Caller, session_id: str, now: int) -> SessionRow:
        session = self.store.session(caller.project.id, session_id)
        if session is None or session.state != "live" or session.is_over(now):
            raise errors.SessionExpired
        return session

    def _order(
        self, caller: Caller, to: Contact, ways: Ways, wanted: Channel | None, legacy: bool, *, hold: bool
    ) -> Order:
        project = caller.project
        return Order(
            ways.open,
            wanted,
            _default(project, ways.open, Channel.WHATSAPP if legacy else None),
            self._cooldown,
            legacy,
            hold=hold,
            parks=ways.parks,
            ceilings=self.reach.ceilings(project, free=ways.parks),
            discreet=is_discreet(caller, to.kind),
        )

    # Derived, never stored

    def numbers_of(self, session: SessionRow | Claimed) -> Numbers:
        """The numbers of one tap. Raises `Unsealable` where SECRET_KEYS has lost the session's key."""
        session_id = session.id if isinstance(session, SessionRow) else session.session_id
        return numbers_of(self.keyring, session.sealed, session_id)

    def code_of(self, send: Claimed | EndedSend) -> str:
        """The code of a message's session. Raises `Unsealable` where SECRET_KEYS has lost its key."""
        if send.own_code:
            return self.keyring.open(send.own_code, send.session_id)
        project = self.project(send.project_id)
        alphabet = project.settings.alphabet if project else codes.DIGITS
        key = self.keyring.sealed_with(send.sealed).code
        return codes.derive_code(key, send.session_id, alphabet, send.code_length)


def _pepper(store: Store, keyring: Keyring) -> bytes:
    """The key of all destination hashes: kept in the database, sealed, and sealed anew after a rotation.

    Raises `Unsealable` where SECRET_KEYS has lost every key that sealed it.
    """
    kept = store.keep("pepper", keyring.seal(secrets.token_hex(32), "pepper"))
    pepper = keyring.open(kept, "pepper")
    if keyring.sealed_with(kept) is not keyring.first:
        store.replace("pepper", keyring.seal(pepper, "pepper"))
    return bytes.fromhex(pepper)


def _default(project: Project, reachable: tuple[Channel, ...], preferred: Channel | None) -> Channel:
    for channel in (preferred, project.settings.default_channel):
        if channel in reachable and channel:
            return channel
    return reachable[0]


def _is_others(answer: object) -> bool:
    """Whether it was refused for what others have done, maybe: the destination takes no more."""
    return isinstance(answer, Paused) or (
        isinstance(answer, Refused) and answer.whose in ("destination", "guesses")
    )
