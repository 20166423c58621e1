"""Whoever writes to the bot: strangers' taps, made-up links, others' contacts, phished visitors, two browsers."""

import random
import secrets
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway import errors
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.local import LocalGateway
from gateway.tap import deny_data, tap_data
from gateway.verbs import Caller
from tests.attack.outcome import Outcome
from tests.attack.site import BOT, NAME, Target, new_address, new_phone, numbers_of
from tests.servers import Person, until

FIXATION = "fixation: the attacker begins the login, the victim approves"
PHISHED = "a phished deep link"
STRANGERS = "a tap by somebody else, or a made-up button"
SETTLES = 0.3  # seconds in which the bot has handled what was pushed, at the latest of what follows it


@dataclass
class Login:
    """A browser that waits, and the person in whose chat three numbers stand."""

    target: Target
    gateway: LocalGateway
    person: Person
    phone: str
    caller: Caller
    session_id: str

    @property
    def state(self) -> str:
        return self.gateway.progress(self.caller, self.session_id).state

    def collects(self, browser: Caller | None = None) -> bool:
        """Whether a browser gets in by an approval; its own one, if none is named."""
        try:
            return bool(self.gateway.collect(browser or self.caller, self.session_id).verify_token)
        except errors.SessionExpired:
            return False


def a_browser(target: Target) -> Caller:
    """One that nobody else has."""
    key = secrets.token_hex(8)
    return Caller(target.project, lang="en", browser="Chrome, Windows", browser_key=key, address=new_address())


def connected(target: Target, phone: str) -> Person:
    """Somebody whose chat is linked."""
    created = target.create(phone, "telegram")
    person = target.site.person(phone)
    person.does("start", payload=target.link(created))
    person.hears("asks who is logging in")
    person.does("contact")
    until(lambda: target.is_active(created["session_id"]), "the chat is linked")
    target.check(created["session_id"], target.site.code_of(created["session_id"]))
    return person


def waiting(target: Target, gateway: LocalGateway) -> Login:
    """A login by one tap, whose numbers stand in the chat."""
    phone = new_phone()
    person = connected(target, phone)
    caller = a_browser(target)
    session_id = gateway.create(caller, parse_contact(phone), Channel.TELEGRAM).session_id
    person.hears(target.site.code_of(session_id))
    return Login(target, gateway, person, phone, caller, session_id)


def push(target: Target, update: dict[str, Any]) -> None:
    """An update as Telegram would hand it to the bot, whatever stands in it."""
    url = f"{target.site.sandbox}/api/bots/sandbox_{BOT}_bot/update"
    target.site.http.post(url, json=update).raise_for_status()


def after_all_that(target: Target) -> None:
    """Wait until the bot has handled what was pushed: it answers somebody who writes after it."""
    person = target.site.person(new_phone())
    person.does("text", text="/help")
    person.hears("I never ask for a code")
    time.sleep(SETTLES)


def press(user_id: int, data: str | None, chat: dict[str, Any] | None = None) -> dict[str, Any]:
    """A callback query; `chat`: where the message stands that the button is said to be on."""
    where = chat or {"id": user_id, "type": "private", "first_name": "Eve"}
    return {
        "callback_query": {
            "id": str(random.getrandbits(60)),
            "from": {"id": user_id, "is_bot": False, "first_name": "Eve", "language_code": "en"},
            "message": {"message_id": 1, "date": 0, "chat": where},
            "chat_instance": "1",
            **({"data": data} if data is not None else {"game_short_name": "chess"}),
        }
    }


def taps_by_strangers(target: Target, logins: int) -> Outcome:
    """The right number, denials and nonsense, from chats that are not the login's."""
    gateway, through, times = target.site.gateway(), 0, 0
    for _ in range(logins):
        login = waiting(target, gateway)
        stranger = connected(target, new_phone()).user_id
        unknown = target.site.person(new_phone()).user_id
        right = tap_data(login.session_id, numbers_of(login.session_id).right)
        victims = {"id": login.person.user_id, "type": "private", "first_name": "Ann"}
        group = {"id": -5, "type": "group", "title": "g"}
        presses = [
            press(who, data, chat)
            for who in (stranger, unknown)
            for data in (right, right.upper(), f" {right}", deny_data(login.session_id), "tap::", "\0", None)
            for chat in (None, victims, group)
        ]
        for update in presses:
            push(target, update)
        times += len(presses)
        after_all_that(target)
        through += login.state != "live"
        through += login.collects() + login.collects(a_browser(target))
        push(target, press(login.person.user_id, right))
        until(lambda login=login: login.state == "approved", "its own chat approves")  # type: ignore[misc]
        through += login.collects(a_browser(target))
        assert login.collects()
    gateway.close()
    return Outcome(STRANGERS, "the right number and made-up buttons, pressed in other chats", times, through)


def guessed_numbers(target: Target, logins: int) -> Outcome:
    """All three numbers pressed, wrong ones first: the first one decides."""
    gateway, through = target.site.gateway(), 0
    for _ in range(logins):
        login = waiting(target, gateway)
        numbers = numbers_of(login.session_id)
        wrong = [number for number in numbers.shown if number != numbers.right]
        for number in (*wrong, numbers.right):
            push(target, press(login.person.user_id, tap_data(login.session_id, number)))
        after_all_that(target)
        through += login.state != "closed"
        through += login.collects()
    gateway.close()
    return Outcome("tapping without looking", "a wrong number, then the others", logins * 3, through)


def second_browser(target: Target, logins: int) -> Outcome:
    """The attacker begins before the victim, or joins after, and waits for the victim's tap."""
    gateway, through, times = target.site.gateway(), 0, 0
    for number in range(logins):
        login = waiting(target, gateway)
        second = a_browser(target)
        right = tap_data(login.session_id, numbers_of(login.session_id).right)
        if number % 2:  # joins before the tap: nobody is approved
            joined = gateway.create(second, parse_contact(login.phone), Channel.TELEGRAM).session_id
            assert joined == login.session_id
        push(target, press(login.person.user_id, right))
        after_all_that(target)
        if not number % 2:
            assert login.state == "approved"
            gateway.create(second, parse_contact(login.phone), send=False)
        through += login.collects(second) + login.collects(msgspec.structs.replace(second, browser_key=""))
        through += bool(number % 2) and login.collects()
        through += _shown(gateway, second, login.session_id) is not None
        times += 4
    gateway.close()
    return Outcome(FIXATION, "a second browser, before and after the tap", times, through)


def _shown(gateway: LocalGateway, browser: Caller, session_id: str) -> int | None:
    """The number that a browser's page is told to show."""
    try:
        return gateway.progress(browser, session_id).number
    except errors.SessionExpired:
        return None


def others_contacts(target: Target, times: int) -> Outcome:
    """Contacts that are not the sender's own, in every way that Telegram can bring them."""
    through = tried = 0
    for _ in range(times):
        phone = new_phone()
        session_id, link = _asked(target, phone)
        attacker = target.site.person(new_phone())
        attacker.does("start", payload=link)
        victim_id = target.site.person(phone).user_id
        attacker.does("contact", phone_number=phone.lstrip("+"), user_id=victim_id)
        attacker.does("contact", phone_number=phone.lstrip("+"), user_id=None)
        attacker.does("contact", phone_number=phone.lstrip("+"), forwarded=True)
        for update in _foreign(attacker.user_id, victim_id, phone):
            push(target, update)
            tried += 1
        tried += 3
        after_all_that(target)
        through += target.is_active(session_id)
        through += target.site.code_of(session_id) in "".join(attacker.heard())
        victim = target.site.person(phone)
        victim.does("start", payload=link)
        victim.does("contact")
        victim.hears(target.site.code_of(session_id))
    return Outcome(
        PHISHED, "contacts: of others, forwarded, edited, by a bot, in groups and channels", tried, through
    )


def _asked(target: Target, phone: str) -> tuple[str, str]:
    created = target.create(phone, "telegram")
    return created["session_id"], target.link(created)


def _foreign(attacker: int, victim: int, phone: str) -> list[dict[str, Any]]:
    number = phone.lstrip("+")
    eve = {"id": attacker, "is_bot": False, "first_name": "Eve"}
    chat = {"id": attacker, "type": "private", "first_name": "Eve"}
    mine = {"phone_number": number, "first_name": "Eve", "user_id": attacker}
    theirs = mine | {"user_id": victim}
    usual = {"message_id": 9, "date": 1, "from": eve, "chat": chat, "contact": mine}
    bot = {"id": attacker, "is_bot": True, "first_name": "Robot"}
    bots = {"id": 77, "is_bot": True, "first_name": "Inline", "username": "inline_bot"}
    elsewhere = [{"id": -5, "type": kind, "title": "g"} for kind in ("group", "supergroup", "channel")]
    return [
        {"message": usual | {"contact": theirs}},
        {"message": usual | {"forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "Ann"}}},
        {"message": usual | {"forward_origin": {"type": "user", "date": 1, "sender_user": eve}}},
        {"message": usual | {"via_bot": bots}},
        {"message": usual | {"from": bot}},
        {"edited_message": usual | {"edit_date": 2}},
        {"business_message": usual},
        *({"message": usual | {"chat": one}} for one in elsewhere),
        *({"channel_post": {"message_id": 9, "date": 1, "chat": one, "contact": mine}} for one in elsewhere[2:]),
    ]


def phished_links(target: Target, times: int) -> Outcome:
    """The attacker's own link, followed by a victim who shares the contact and does as the bot says."""
    gateway, through = target.site.gateway(), 0
    for _ in range(times):
        mine = a_browser(target)
        created = gateway.create(mine, parse_contact(new_phone()), Channel.TELEGRAM)
        telegram = next(one for one in created.channels if one.type is Channel.TELEGRAM)
        link = telegram.link.partition("?start=")[2]
        victim = target.site.person(new_phone())
        victim.does("start", payload=link)
        victim.hears(NAME)
        victim.does("contact")
        victim.hears("But the login on the site is for")
        progress = gateway.progress(mine, created.session_id)
        through += progress.state != "live" or progress.channels[0].is_active
        through += target.site.code_of(created.session_id) in "".join(victim.heard())
    gateway.close()
    return Outcome(PHISHED, "the attacker's link, followed by somebody who shares their contact", times, through)


def forged_links(target: Target, times: int) -> Outcome:
    """Payloads that were changed or made up, of a session whose phone is the presser's own."""
    dice, phone = random.Random(1), new_phone()
    session_id, good = _asked(target, phone)
    person = target.site.person(phone)
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    forged = {session_id, good[:-1], f"{good}A", "A" * 48, good.lower(), good.swapcase()}
    while len(forged) < times:
        at = dice.randrange(len(good))
        forged.add(good[:at] + dice.choice(signs) + good[at + 1 :])
    forged -= {good}
    for link in sorted(forged):
        person.does("start", payload=link)
    person.hears("This link has expired", times=len(forged))
    through = sum(NAME in text and "expired" not in text for text in person.heard())
    person.does("start", payload=good)
    person.hears(NAME)
    return Outcome(PHISHED, "links changed and made up", len(forged), through)
