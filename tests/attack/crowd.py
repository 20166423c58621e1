"""A day of guesses at many destinations in one gateway, whose clock is turned; honest visitors among them."""

import random
import time
from pathlib import Path
from typing import Any

import msgspec

from gateway import errors
from gateway.contact import parse_contact
from tests.attack.site import new_address, new_phone
from tests.world import make_world

SESSION_MS = 180_000
_ANY = "3600000/3600"  # the most that a rate may be
BOUNDLESS: dict[str, Any] = {
    "limit_sends_destination": _ANY,
    "limit_sends_address": _ANY,
    "limit_sends_address_soft": _ANY,
    "limit_sends_prefix": _ANY,
    "limit_sends_project": _ANY,
}


class Crowd:
    """`guess_at_each` is one guess at each destination; what came of all is counted."""

    def __init__(self, folder: Path, destinations: int, addresses: int) -> None:
        self.world = make_world(folder, suspicion_sessions=10**9, **BOUNDLESS)
        self._dice = random.Random(1)
        self._caller = self.world.caller()
        self._contacts = [parse_contact(new_phone()) for _ in range(destinations)]
        self._sessions = dict[int, str]()
        self._again = dict[int, int]()  # when it is worth asking for a session
        self._addresses = [new_address() for _ in range(addresses)]
        self.guesses = self.compared = self.takeovers = self.tried = self.failed = 0
        self.honest: list[float] = []  # seconds of each verb of theirs

    def guess_at_each(self) -> None:
        for number, contact in enumerate(self._contacts):
            who = msgspec.structs.replace(self._caller, address=self._dice.choice(self._addresses))
            now = self.world.clock.now
            if now >= self._again.get(number, 0):
                try:
                    self._sessions[number] = self.world.gateway.create(who, contact, send=False).session_id
                    self._again[number] = now + SESSION_MS
                except errors.TooSoon as refusal:
                    self._again[number] = now + refusal.timeout * 1000
            if session_id := self._sessions.get(number):
                self._guess(who, number, session_id)

    def _guess(self, who: Any, number: int, session_id: str) -> None:
        """Also at what is over or at rest: who knows whether that is looked at."""
        self.guesses += 1
        try:
            self.world.gateway.check(who, session_id, f"{self._dice.randrange(1_000_000):06d}")
        except errors.WrongCode as refusal:
            self.compared += 1
            if not refusal.params["count"]:
                self._again[number] = 0
        except (errors.TooSoon, errors.SessionExpired):
            pass
        else:
            self.compared += 1
            self.takeovers += 1
            self._again[number] = 0

    def honest_login(self) -> None:
        """Somebody else, from an address of their own."""
        who = msgspec.structs.replace(self._caller, address=new_address())
        self.tried += 1
        try:
            began = time.perf_counter()
            session_id = self.world.gateway.create(who, parse_contact(new_phone()), send=False).session_id
            created = time.perf_counter()
            self.world.gateway.check(who, session_id, self.world.code_of(session_id))
            self.honest += (created - began, time.perf_counter() - created)
        except errors.GatewayError:
            self.failed += 1
