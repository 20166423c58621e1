"""Whether a verb's time tells of a phone: unknown, linked to the bot, or linked and the bot blocked.

Each request is one of the three, drawn anew, so that whatever else the machine does falls on all alike. Told is
the effect size: how often a request of one kind took longer than one of another (Mann–Whitney's U by the number of
pairs; 0.5: nobody can tell), which neither outliers nor the machine's speed move. At 2,000 each, chance
alone moves it by 0.009 (one sigma).
"""

import itertools
import random
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Literal

import httpx

from bench.limits import NO_LIMITS_HERE
from gateway import errors
from gateway.channels import Channel
from gateway.contact import parse_contact
from tests.attack.site import BOT, Site, new_phone
from tests.world import BOT_ID, make_world

Kind = Literal["unknown", "active", "blocked"]
KINDS: tuple[Kind, ...] = ("unknown", "active", "blocked")
Verb = Literal["create without sending", "create", "channels", "check"]
VERBS: tuple[Verb, ...] = ("create without sending", "create", "channels", "check")
Asks = Callable[[Verb, str, str], str]
"""Asks a verb about a phone and its session; the session's id."""

NEGLIGIBLE = 0.0735  # from one half: Cliff's delta of 0.147, below which an effect is called none (Romano, 2006)
CHANCE = 0.03  # two sigma of it, at 800 each
A_TENTH = 0.1  # in process nothing else is heard, so that even the 4 µs of one more index tell

Times = dict[Verb, dict[Kind, list[float]]]
ROOM: dict[str, Any] = {name.lower(): rate for name, rate in NO_LIMITS_HERE.items()}


def dominance(one: list[float], other: list[float]) -> float:
    """The chance that one of the first is longer than one of the second, ties half."""
    other = sorted(other)
    return sum((bisect_left(other, x) + bisect_right(other, x)) / 2 for x in one) / len(one) / len(other)


def told(times: Times) -> dict[Verb, float]:
    """By verb, the largest distance from 0.5 of any two kinds."""
    return {
        verb: max(abs(dominance(kinds[one], kinds[other]) - 0.5) for one, other in combinations(KINDS, 2))
        for verb, kinds in times.items()
    }


def worth_hearing(times: Times) -> list[Verb]:
    """The verbs whose times tell of a phone by so much that a network would not drown it."""
    told_by = [verb for verb, distance in told(times).items() if distance > NEGLIGIBLE + CHANCE]
    return [verb for verb in told_by if _apart(times[verb]) > A_TENTH]


def _apart(kinds: dict[Kind, list[float]]) -> float:
    """How much longer the slowest kind's median is than the quickest's, as a part of it."""
    medians = [median(some) for some in kinds.values()]
    return max(medians) / min(medians) - 1


def shown(times: Times) -> str:
    """The medians, µs, and what they tell."""
    lines = []
    for verb, kinds in times.items():
        medians = ", ".join(f"{kind} {median(kinds[kind]) * 1e6:.0f}" for kind in KINDS)
        lines.append(f"{verb}: {medians} µs; at most {told(times)[verb]:.3f} from one half")
    return "\n".join(lines)


def measure(asks: Asks, phones: dict[Kind, list[str]], seed: int = 1) -> Times:
    """Ask all verbs about all phones, in an order that is drawn."""
    dice = random.Random(seed)
    times: Times = {verb: defaultdict(list) for verb in VERBS}
    sessions: dict[str, str] = {}
    for verb in VERBS:
        if verb == "create":
            sessions.clear()  # it is asked about phones of its own
        order = [(kind, phone) for kind in KINDS for phone in _half(phones[kind], second=verb == "create")]
        if verb in ("channels", "check"):
            order = [(kind, phone) for kind in KINDS for phone in _half(phones[kind], second=True)]
        dice.shuffle(order)
        for kind, phone in order:
            began = time.perf_counter()
            session_id = asks(verb, phone, sessions.get(phone, ""))
            times[verb][kind].append(time.perf_counter() - began)
            sessions[phone] = session_id
    return times


def _half(phones: list[str], *, second: bool) -> list[str]:
    middle = len(phones) // 2
    return phones[middle:] if second else phones[:middle]


def in_process(folder: Path, each: int, seed: int = 1) -> Times:
    """The verbs alone, without a network: what tells least else, tells most."""
    world = make_world(folder, telegram_bot_token=f"{BOT_ID}:sandbox", **ROOM)
    caller = world.caller()

    def asks(verb: Verb, phone: str, session_id: str) -> str:
        contact = contacts[phone]
        if verb == "channels":
            world.gateway.channels(caller, session_id)
        elif verb == "check":
            with suppress(errors.WrongCode):
                world.gateway.check(caller, session_id, "000000")
        else:
            return world.gateway.create(caller, contact, Channel.TELEGRAM, send=verb == "create").session_id
        return session_id

    phones: dict[Kind, list[str]] = {kind: [new_phone() for _ in range(each * 2)] for kind in KINDS}
    contacts = {phone: parse_contact(phone) for some in phones.values() for phone in some}
    chats = itertools.count(1000)
    for kind in ("active", "blocked"):
        for phone, chat in zip(phones[kind], chats, strict=False):
            world.activate(phone, chat)
            if kind == "blocked":
                world.gateway.deactivate(BOT_ID, chat)
    try:
        return measure(asks, phones, seed)
    finally:
        world.gateway.close()


def over_http(site: Site, each: int, seed: int = 1) -> Times:
    """The same as a visitor on one connection sees it, bot and sender at work. `site` has room for so many."""
    target = site.target(challenge="off")
    phones: dict[Kind, list[str]] = {kind: [new_phone() for _ in range(each * 2)] for kind in KINDS}
    gateway, chats = site.gateway(), itertools.count(1_000_000)
    for kind in ("active", "blocked"):
        for phone, chat in zip(phones[kind], chats, strict=False):
            gateway.activate(target.project, parse_contact(phone), bot_id=BOT, chat_id=chat, user_id=chat)
            if kind == "blocked":
                gateway.deactivate(BOT, chat)
    gateway.close()
    with httpx.Client(base_url=site.web, headers=target.public, timeout=30) as client:

        def asks(verb: Verb, phone: str, session_id: str) -> str:
            if verb == "channels":
                answer = client.get("/session/channels", params={"session_id": session_id})
            elif verb == "check":
                answer = client.post("/session/check", json={"session_id": session_id, "code": "000000"})
            else:
                body = {"to": phone, "type": "telegram", "send": verb == "create"}
                answer = client.post("/session/create", json=body)
                session_id = answer.json()["session_id"]
            assert answer.status_code in (200, 422), answer.text
            return session_id

        return measure(asks, phones, seed)
