"""Running up the bill: one phone, one address that pretends to be many, an IPv6 network, no cookies."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec

from gateway import errors
from gateway.contact import parse_contact
from tests.attack.outcome import Outcome
from tests.attack.site import Target, new_address, new_phone
from tests.servers import until
from tests.world import make_world

PHONE, ADDRESS = "flooding one phone", "flooding from one address"
SOFT = 20  # sends an hour from one address, until a challenge is asked for
SETTLES = 0.5  # seconds: a message that was wrongly queued would be delivered by then


def one_phone(target: Target, times: int) -> Outcome:
    """The same phone again and again, each time as somebody else at another address."""
    phone = new_phone()
    for number in range(times):
        body = {"to": phone, "type": ("sms", "whatsapp")[number % 2]}
        target.post("create", body, f"172.31.1.{number}, {new_address()}")
    until(lambda: target.site.letters(phone), "the first message arrives")
    time.sleep(SETTLES)
    letters = target.site.letters(phone)
    assert {letter["channel"] for letter in letters} <= {"sms", "whatsapp"}
    return Outcome(
        PHONE, "create with send, from as many addresses and forged hops", times, max(0, len(letters) - 2),
        f"{len(letters)} messages: one a channel and minute",
    )  # fmt: skip


def _sent(target: Target, times: int, address: Callable[[int], str]) -> int:
    phones = [new_phone() for _ in range(times)]
    for number, phone in enumerate(phones):
        target.post("create", {"to": phone, "type": "sms"}, address(number))
    until(lambda: target.site.letters(phones[0]), "the first message arrives")
    time.sleep(SETTLES)
    return sum(bool(target.site.letters(phone)) for phone in phones)


def forged_hops(target: Target, times: int) -> Outcome:
    """One address; every request names another one, left of what the proxy writes."""
    here = new_address()
    sent = _sent(target, times, lambda number: f"172.31.0.{number}, {new_address()}, {here}")
    assert sent == min(times, SOFT)
    return Outcome(
        ADDRESS, "other phones from one address with forged X-Forwarded-For", times, max(0, sent - SOFT),
        f"{sent} messages, then a challenge",
    )  # fmt: skip


def one_ipv6_network(target: Target, times: int) -> Outcome:
    """Every request from another address of one /64."""
    sent = _sent(target, times, lambda number: f"2001:db8:1:1:{number:x}::{number:x}")
    assert sent == min(times, SOFT)
    return Outcome(
        ADDRESS, "other phones from as many addresses of one IPv6 /64", times, max(0, sent - SOFT),
        f"{sent} messages, then a challenge",
    )  # fmt: skip


def no_cookies(target: Target, times: int) -> Outcome:
    """The widget's form, by browsers that drop their cookie each time."""
    here, taken = new_address(), 0
    for _ in range(times):
        with httpx.Client(base_url=target.site.web, headers={"x-forwarded-for": here}, timeout=30) as browser:
            page = browser.get("/widget/", params={"key": target.public["x-api-key"]})
            state = page.text.partition('name="w" value="')[2].partition('"')[0]
            answer = browser.post("/widget/start", data={"w": state, "to": new_phone()})
            taken += answer.status_code == 303
    assert taken <= min(times, SOFT)
    return Outcome(
        ADDRESS, "the widget, its cookie dropped before each", times, max(0, taken - SOFT),
        f"{taken} logins begun, then a challenge",
    )  # fmt: skip


def slow_pump(folder: Path, seconds: int) -> Outcome:
    """One address that waits as long as it is told, and never solves a challenge (clock turned)."""
    world, sent, tries = make_world(folder), 0, 0
    who = msgspec.structs.replace(world.caller(), address=new_address())
    end = world.clock.now + seconds * 1000
    while world.clock.now < end:
        tries += 1
        try:
            world.gateway.create(who, parse_contact(new_phone()))
            sent += 1
        except errors.ChallengeRequired:
            world.clock.pass_seconds(1)
    world.gateway.close()
    most = SOFT + seconds * SOFT // 3600
    return Outcome(
        ADDRESS, "one address, patiently, for an hour (clock turned)", tries, max(0, sent - most),
        f"{sent} messages without a challenge",
    )  # fmt: skip
