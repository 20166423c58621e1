"""A gateway in the test's own process: a real database, and time that passes when the test says so."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.bootstrap import build_gateway
from gateway.codes import derive_code
from gateway.contact import Contact, parse_contact
from gateway.local import LocalGateway
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.verbs import Caller, Created
from tests.databases import CURRENT

BOT_ID = 1
START = 4_000_000_000_000  # 2096: after the boot of any machine that runs this

ONE_FOR_MANY: dict[str, Any] = {
    "limit_activations_chat": "1000000/3600",
    "limit_sends_browser": "1000000/3600",
}  # many people
BESIDE_SERVERS: dict[str, Any] = {**ONE_FOR_MANY, "suspicion_sessions": 1_000_000}  # as those processes have it

_numbers = itertools.count(2_000_000)


def new_phone() -> str:
    """A valid phone that no other test uses."""
    return f"+7952{next(_numbers)}"


class TestClock:
    """Milliseconds since the epoch, turned by hand."""

    __test__ = False

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


@dataclass
class World:
    """A gateway with its settings and clock, and the first project's callers."""

    gateway: LocalGateway
    settings: Settings
    clock: TestClock
    contacts: dict[str, Contact] = field(default_factory=dict)

    def caller(self, key: str = "pk_development", lang: str = "en") -> Caller:
        project, secret = self.gateway.authenticate(key)
        return Caller(project, secret, lang)

    def create(self, to: str, **options: Any) -> Created:
        return self.gateway.create(self.caller(), parse_contact(to), **options)

    def code_of(self, session_id: str) -> str:
        chosen = self.caller().project.settings
        key = self.gateway.keyring.first.code
        return derive_code(key, session_id, chosen.alphabet, chosen.code_length)

    def wrong_code(self, session_id: str, number: int = 1) -> str:
        return f"{(int(self.code_of(session_id)) + number) % 1_000_000:06d}"

    def activate(self, phone: str, chat_id: int = 7) -> int:
        activation = self.gateway.activate(
            self.caller().project, parse_contact(phone), bot_id=BOT_ID, chat_id=chat_id, user_id=chat_id
        )
        return activation.released


def make_world(
    folder: Path, clock: TestClock | None = None, *, metrics: Metrics | None = None, **settings: Any
) -> World:
    """Development settings on a database in `folder`."""
    clock = clock or TestClock()
    chosen = Settings(
        _env_file=None,
        database_url=CURRENT[-1].url(folder),
        **{**ONE_FOR_MANY, **settings},
    )
    gateway = build_gateway(chosen, clock, metrics=metrics)
    CURRENT[-1].opened(gateway)
    return World(gateway, chosen, clock)
