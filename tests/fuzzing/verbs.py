"""Everything that visitors, sites, chats and time do, in any order, beside a model of what must then be so.

The model knows nothing of tables: a session of a destination, its attempts, who holds it, which chat is linked.
What it holds of the real gateway is the project's promises: a code is accepted once, a wrong guess is counted, a
token is good once, a session is one a destination while it lives, a message is never lost, and nothing is approved
but by the linked chat for the browser that began.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gateway import errors
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.store import Outcome
from gateway.tap import LOWEST
from gateway.tokens import write_payload
from gateway.verbs import Caller
from tests.delivering import claim, finish
from tests.world import BOT_ID, World

PHONES = ("+79522966236", "+4915112345678")
DESTINATIONS = (*PHONES, "ann@example.com")
CHATS = (7, 8)
BROWSERS = ("", "a" * 22, "b" * 22)
LEASE = 15_000
KEEP = 24 * 3600_000
TOKEN_LIFE = 300_000

destinations = st.sampled_from(DESTINATIONS)
browsers = st.sampled_from(BROWSERS)
chats = st.sampled_from(CHATS)
channels = st.sampled_from(list(Channel))


@dataclass
class Login:
    """A session as the model sees it."""

    id: str
    to: str
    browser: str
    expires_at: int
    attempts: int
    state: str = "live"  # live, approved, used, closed
    joined: bool = False
    sent: set[Channel] = field(default_factory=set)  # whose messages must be somewhere


class Verbs(RuleBasedStateMachine):
    """Subclasses say where their world comes from."""

    new_world: Callable[[], World]
    end_world: Callable[[World], None]

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).new_world()
        self.gateway = self.world.gateway
        self.store = self.gateway.store
        self.newest: dict[str, Login] = {}  # of a destination
        self.logins: dict[str, Login] = {}
        self.strikes: dict[str, int] = dict.fromkeys(DESTINATIONS, 0)
        self.tokens: dict[str, tuple[Login, int]] = {}
        self.spent: set[str] = set()  # sessions whose token was verified
        self.linked: dict[str, tuple[int, bool]] = {}  # a phone's chat, and whether it is active
        self.handed_over: set[int] = set()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else what was found is told, and not what follows from it
                self.drain()
        finally:
            type(self).end_world(self.world)

    # What the rules share

    @property
    def now(self) -> int:
        return self.world.clock.now

    def caller(self, browser: str = "", key: str = "pk_development") -> Caller:
        project, secret = self.gateway.authenticate(key)
        return Caller(project, secret, browser_key=browser, browser="Firefox, Linux")

    def some(self, data: st.DataObject) -> Login:
        """Any login, most often the latest."""
        if data.draw(st.integers(0, 2)):
            return list(self.logins.values())[-1]
        return self.logins[data.draw(st.sampled_from(list(self.logins)))]

    def lives(self, login: Login, *states: str) -> bool:
        current = self.newest.get(login.to) is login
        return current and login.state in (states or ("live",)) and login.expires_at > self.now

    def join(self, login: Login, browser: str) -> None:
        if login.browser and browser != login.browser:
            login.joined = True

    def chat_of(self, login: Login) -> int | None:
        chat, active = self.linked.get(login.to, (0, False))
        return chat if active else None

    def closes(self, login: Login) -> None:
        login.state = "closed"
        self.strikes[login.to] += 1

    # Visitors and sites

    @initialize()
    def somebody_begins(self) -> None:
        self.create(DESTINATIONS[0], None, send=True, browser=BROWSERS[1])

    @rule(to=destinations, channel=st.none() | channels, send=st.booleans(), browser=browsers)
    def create(self, to: str, channel: Channel | None, send: bool, browser: str) -> None:
        contact = parse_contact(to)
        known = self.newest.get(to)
        begun = self.logins.copy()
        try:
            created = self.gateway.create(self.caller(browser), contact, channel, send=send)
        except errors.ChannelCannotReach:
            assert channel
            assert channel.kind != contact.kind
            return
        except errors.DestinationBlocked as refusal:
            assert self.strikes[to], "a destination rests that did nothing"
            assert not (known and self.lives(known)), "a living session is refused"
            assert 0 < refusal.timeout <= 3600
            return
        except errors.TooSoon as refusal:
            assert known
            assert self.lives(known)
            assert 0 < refusal.timeout <= 60
            self.join(known, browser)
            return
        if known and self.lives(known, "live"):
            assert created.session_id == known.id, "two sessions of a destination"
            login = known
            self.join(login, browser)
        elif created.session_id not in begun:
            seconds = self.caller().project.settings.session_seconds
            login = Login(created.session_id, to, browser, self.now + seconds * 1000, 5)
            self.logins[login.id] = self.newest[to] = login
        else:
            raise AssertionError("a session that is over came back")
        if created.sent_to != "none":
            login.sent.add(Channel(created.sent_to))

    @rule(data=st.data(), channel=channels)
    def send(self, data: st.DataObject, channel: Channel) -> None:
        login = self.some(data)
        try:
            self.gateway.send(self.caller(), login.id, channel)
        except errors.SessionExpired:
            assert not self.lives(login)
        except errors.ChannelCannotReach:
            assert channel.kind != parse_contact(login.to).kind
        except errors.TooSoon as refusal:
            assert self.lives(login)
            assert channel in login.sent or channel in self.taken_over(login)
            assert 0 < refusal.timeout <= 60
        else:
            assert self.lives(login)
            login.sent.add(channel)

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        login = self.some(data)
        try:
            faces = self.gateway.channels(self.caller(), login.id)
        except errors.SessionExpired:
            assert not self.lives(login)
            return
        assert self.lives(login)
        for face in faces:
            assert 0 <= face.timeout <= 60
            if face.type is Channel.TELEGRAM:
                assert face.is_active == (self.chat_of(login) is not None)

    @rule(data=st.data(), times=st.integers(1, 3))
    def check_right(self, data: st.DataObject, times: int) -> None:
        login = self.some(data)
        code = self.world.code_of(login.id)
        for _ in range(times):
            try:
                token = self.gateway.check(self.caller(), login.id, code).verify_token
            except errors.SessionExpired:
                assert not self.lives(login)
            else:
                assert self.lives(login), "a code was accepted again, or too late"
                login.state = "used"
                self.strikes[login.to] = 0
                self.tokens[token] = (login, self.now)

    @rule(data=st.data(), times=st.integers(1, 6), numeral=st.booleans())
    def check_wrong(self, data: st.DataObject, times: int, numeral: bool) -> None:
        login = self.some(data)
        wrong: Any = self.world.wrong_code(login.id)
        for _ in range(times):
            try:
                self.gateway.check(self.caller(), login.id, int(wrong) if numeral else wrong)
            except errors.SessionExpired:
                assert not self.lives(login)
            except errors.WrongCode as refusal:
                assert self.lives(login)
                login.attempts -= 1
                assert refusal.count == login.attempts, "a wrong guess was not counted"
                if not login.attempts:
                    self.closes(login)
            else:
                raise AssertionError("a wrong code was accepted")

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), key=st.sampled_from(["pk_development", "sk_development"]))
    def verify(self, data: st.DataObject, key: str) -> None:
        token = data.draw(st.sampled_from(list(self.tokens)))
        login, at = self.tokens[token]
        try:
            verified = self.gateway.verify(self.caller(key=key), token)
        except errors.AccessDenied:
            assert key == "pk_development"
        except errors.SessionExpired:
            dated = at // 1000 * 1000
            assert login.id in self.spent or dated + TOKEN_LIFE < self.now
        else:
            assert key == "sk_development"
            assert login.id not in self.spent, "a token was good twice"
            assert (verified.to, verified.session_id) == (login.to, login.id)
            self.spent.add(login.id)

    @rule(data=st.data(), browser=browsers)
    def collect(self, data: st.DataObject, browser: str) -> None:
        self.take(self.some(data), browser)

    def take(self, login: Login, browser: str) -> None:
        try:
            token = self.gateway.collect(self.caller(browser), login.id).verify_token
        except errors.SessionExpired:
            assert not (self.lives(login, "approved") and browser == login.browser)
        else:
            assert self.lives(login, "approved")
            assert browser
            assert browser == login.browser, "another browser collected the approval"
            login.state = "used"
            self.tokens[token] = (login, self.now)

    # Telegram

    @rule(phone=st.sampled_from(PHONES), chat=chats)
    def activate(self, phone: str, chat: int) -> None:
        self.world.activate(phone, chat)
        for other, (held, _) in list(self.linked.items()):
            if held == chat and other != phone:
                del self.linked[other]
        self.linked[phone] = (chat, True)

    @rule(
        phone=st.sampled_from(PHONES),
        chat=chats,
        browser=st.sampled_from(BROWSERS[1:]),
        other=st.none() | browsers,
        data=st.data(),
        collector=browsers,
    )
    def tap(
        self, phone: str, chat: int, browser: str, other: str | None, data: st.DataObject, collector: str
    ) -> None:
        """A login by one tap, which would come together too seldom; maybe somebody else is handed it meanwhile."""
        self.activate(phone, chat)
        self.create(phone, Channel.TELEGRAM, send=True, browser=browser)
        if other is not None:
            self.create(phone, None, send=False, browser=other)
        if login := self.newest.get(phone):
            self.press(login, chat, data.draw(st.sampled_from(["right", "right", "wrong"])))
            self.take(login, collector)

    @rule(chat=chats, active=st.booleans())
    def block_or_come_back(self, chat: int, active: bool) -> None:
        if active:
            self.gateway.reactivate(BOT_ID, chat)
        else:
            self.gateway.deactivate(BOT_ID, chat)
        for phone, (held, _) in self.linked.items():
            if held == chat:
                self.linked[phone] = (chat, active)

    @rule(data=st.data(), chat=chats, choice=st.sampled_from(["right", "wrong", "made up"]))
    def pick(self, data: st.DataObject, chat: int, choice: str) -> None:
        self.press(self.some(data), chat, choice)

    def press(self, login: Login, chat: int, choice: str) -> None:
        session = self.store.session(1, login.id)
        number = LOWEST
        if session:
            numbers = self.gateway.numbers_of(session)
            others = [one for one in range(LOWEST, 100) if one not in numbers.shown]
            wrong = next(one for one in numbers.shown if one != numbers.right)
            number = {"right": numbers.right, "wrong": wrong, "made up": others[0]}[choice]
        picked = self.gateway.pick(BOT_ID, chat, login.id, number)
        theirs = self.chat_of(login) == chat and bool(login.browser)
        if picked == "approved":
            assert choice == "right"
            assert theirs
            assert self.lives(login, "live", "approved", "used")
            if login.state == "live":
                assert not login.joined, "approved though another holds the session"
                login.state = "approved"
                self.strikes[login.to] = 0
        elif picked == "wrong":
            assert choice == "wrong"
            assert theirs
            assert self.lives(login)
            assert not login.joined
            self.closes(login)
        elif picked == "joined":
            assert self.lives(login)
            assert login.joined
        else:
            open_to_it = theirs and self.lives(login) and choice != "made up"
            assert not open_to_it, "a press of the linked chat was not heard"

    @rule(data=st.data(), chat=chats)
    def deny(self, data: st.DataObject, chat: int) -> None:
        login = self.some(data)
        open_to_it = self.lives(login) and self.chat_of(login) == chat
        assert self.gateway.deny(BOT_ID, chat, login.id) is open_to_it
        if open_to_it:
            self.closes(login)

    @rule(data=st.data())
    def open_the_link(self, data: st.DataObject) -> None:
        login = self.some(data)
        try:
            linked = self.gateway.linked_session(BOT_ID, write_payload(self.gateway.keyring, login.id))
        except errors.SessionExpired:
            assert not self.lives(login)
        else:
            assert self.lives(login)
            assert linked.contact.value == login.to

    # Delivery and time

    @rule(most=st.integers(1, 5), state=st.sampled_from(["sent", "failed", "queued", "dies"]))
    def deliver(self, most: int, state: Any) -> None:
        outcomes = []
        for claimed in claim(self.store, self.now, LEASE, list(Channel), most):
            login = self.logins[claimed.session_id]
            assert self.lives(login), "the code of a session that is over was sent"
            assert self.gateway.code_of(claimed) == self.world.code_of(login.id)
            assert claimed.channel in login.sent
            self.handed_over.add(claimed.id)
            instead, ceilings = self.gateway.reach.instead(
                claimed, claimed.channel, active=claimed.chat_id is not None
            )
            taken_over = instead if state == "failed" else ()
            outcomes.append(
                Outcome(claimed.id, state, due_at=self.now + 500, instead=taken_over, ceilings=ceilings)
            )
        if state != "dies":
            finish(self.store, outcomes, self.now)
        if state == "failed":
            for login in self.logins.values():
                login.sent |= self.taken_over(login)

    @rule(seconds=st.sampled_from([0.5, 1, 1, 20, 20, 61, 61, 179, 181, 301, 3700, 25 * 3600]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.pass_seconds(seconds)

    @rule()
    def purge(self) -> None:
        while self.store.purge(self.now - KEEP, 500):
            pass
        for login in self.logins.values():
            if login.expires_at < self.now - KEEP:
                login.sent.clear()

    # What must hold at any time

    @invariant()
    def no_message_is_lost(self) -> None:
        for login in self.newest.values():
            session = self.store.session(1, login.id)
            there = {send.channel for send in session.sends} if session else set()
            assert login.sent <= there, f"messages are gone: {login.sent - there}"

    @invariant()
    def the_state_is_told_as_it_is(self) -> None:
        for login in self.newest.values():
            session = self.store.session(1, login.id)
            if session is None:
                assert login.expires_at < self.now, "a living session is gone"
                continue
            assert session.state == login.state
            told = self.gateway.progress(self.caller(login.browser), login.id)
            over = login.state in ("live", "approved") and login.expires_at <= self.now
            assert told.state == ("expired" if over else login.state)
            if told.number is not None:
                assert self.lives(login)
                assert not login.joined

    def taken_over(self, login: Login) -> set[Channel]:
        """The channels on which a message of the session is by now, whoever asked for it."""
        session = self.store.session(1, login.id)
        return {send.channel for send in session.sends} if session else set()

    def drain(self) -> None:
        """Whatever still waits for a living session is handed out, by whoever comes after."""
        self.world.clock.pass_seconds(LEASE / 1000 + 1)
        waiting = {
            (login.id, send.channel)
            for login in self.newest.values()
            if self.lives(login) and (session := self.store.session(1, login.id))
            for send in session.sends
            if send.state in ("queued", "sending")
        }
        found = {(one.session_id, one.channel) for one in claim(self.store, self.now, LEASE, list(Channel), 1000)}
        assert waiting <= found, f"never handed out: {waiting - found}"


def run(new_world: Callable[[], World], end_world: Callable[[World], None], **settings: Any) -> int:
    """Play it on worlds of this kind; how many steps were taken. `settings` are hypothesis's."""
    from hypothesis import HealthCheck
    from hypothesis import settings as chosen
    from hypothesis.stateful import run_state_machine_as_test

    steps = 0

    class Machine(Verbs):
        def check_invariants(self, *args: Any, **more: Any) -> None:
            nonlocal steps
            steps += 1
            super().check_invariants(*args, **more)

    Machine.new_world, Machine.end_world = staticmethod(new_world), staticmethod(end_world)
    run_state_machine_as_test(
        Machine, settings=chosen(deadline=None, suppress_health_check=list(HealthCheck), **settings)
    )
    return steps
