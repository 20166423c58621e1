"""What is attacked: web (two workers) and bot in production mode; the sandbox is their Bot API and inbox."""

import itertools
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import altcha
import httpx

from bench.limits import NO_LIMITS_HERE
from bench.processes import resident_kib
from gateway.bootstrap import build_gateway
from gateway.codes import derive_code
from gateway.keyring import Keyring
from gateway.local import LocalGateway
from gateway.projects import Project, ProjectSettings, new_keys
from gateway.settings import Settings
from gateway.tap import Numbers, derive_numbers
from tests.servers import Headers, Person, Servers, payload, until

SECRET_KEY = "attacked-secret-attacked-secret-attacked-secret"
BOT = 3
NAME = "Attacked"  # as the bot names every project here
FOLLOWS = 20.0  # seconds: the processes look at the projects every 5
DEFAULTS = {
    name: str(Settings.model_fields[name.lower()].default) for name in (*NO_LIMITS_HERE, "SUSPICION_SESSIONS")
}

_TLS = (
    ssl.create_default_context()
)  # one for all clients: nothing here is https, and each would load one of its own
_AT_ONCE = 40  # projects that are made together: the processes look at them every 5 s

_phones = itertools.count(3_000_000)
_addresses = itertools.count(1)
T = TypeVar("T")


def new_phone() -> str:
    """A valid phone that nobody else in this run has."""
    return f"+7953{next(_phones)}"


def new_address() -> str:
    """An address that nobody else in this run has."""
    number = next(_addresses)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class Site(Servers):
    """Production with all limits at their defaults. The test's own machine is the proxy that tells addresses."""

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__(folder, ("sandbox", "web", "bot"))
        inbox = f"webhook+{self.sandbox}/inbox"
        self.environment |= {
            "KODGATE_ENV": "production",
            "PROJECT_COUNTRIES": "all",
            "SECRET_KEYS": SECRET_KEY,
            "PROJECT_PUBLIC_KEY": "pk_first_of_the_attacked",
            "PROJECT_SECRET_KEY": "sk_first_of_the_attacked",
            "TELEGRAM_BOT_TOKEN": f"{BOT}:sandbox",
            "TELEGRAM_API_URL": self.sandbox,
            "LIVE_URL": self.live,
            "SMS_URL": inbox,
            "WHATSAPP_URL": f"{inbox}#secret=the%20senders%20own",
            "EMAIL_URL": inbox,
            "TRUSTED_PROXIES": "127.0.0.1",
            "WEB_WORKERS": "2",
            **DEFAULTS,
            **environment,
        }
        self._fresh: list[Target] = []

    def __enter__(self) -> "Site":
        super().__enter__()
        return self

    def gateway(self) -> LocalGateway:
        """What a process of these holds; whoever asks closes it."""
        names = (
            "database_url",
            "public_url",
            "secret_keys",
            "project_public_key",
            "project_secret_key",
            "telegram_bot_token",
        )
        chosen: dict[str, Any] = {name: self.environment[name.upper()] for name in names}
        return build_gateway(Settings(_env_file=None, **chosen))

    def target(self, **settings: Any) -> "Target":
        """A project of its own for each attack: limits and suspicion are a project's."""
        if settings:
            return self._new_targets(1, settings)[0]
        if not self._fresh:
            self._fresh = self._new_targets(_AT_ONCE, {})
        return self._fresh.pop()

    def _new_targets(self, count: int, settings: dict[str, Any]) -> list["Target"]:
        gateway = self.gateway()
        keys = [new_keys() for _ in range(count)]
        numbers = []
        for pair in keys:
            made = gateway.store.add_project(ProjectSettings(name=NAME, **settings), gateway.clock())
            gateway.projects.set_keys(made.id, pair, keep_seconds=0)
            numbers.append(made.id)
        newest = {"x-api-key": keys[-1].public}
        until(lambda: self._knows(newest), "the processes learn of the new projects", FOLLOWS)
        gateway.projects.forget()
        found = [gateway.project(number) for number in numbers]
        gateway.close()
        return [
            Target(self, project, {"x-api-key": pair.public}, {"x-api-key": pair.secret})
            for project, pair in zip(found, keys, strict=True)
            if project
        ]

    def _knows(self, keys: Headers) -> bool:
        """Whether web, both workers more likely than not, knows a project with the bot's name in its links."""
        for _ in range(6):
            answer = httpx.get(f"{self.web}/session/channels", headers=keys, verify=_TLS)
            links = (
                [one["link"] for one in answer.json() if one["type"] == "telegram"] if answer.is_success else []
            )
            if not links or f"sandbox_{BOT}_bot" not in links[0]:
                return False
        return True

    def resident_mib(self, name: str) -> float:
        """The memory that a process with its workers holds now."""
        return resident_kib(self._processes[name].pid) / 1024

    def code_of(self, session_id: str) -> str:
        return derive_code(Keyring([SECRET_KEY]).first.code, session_id, "0123456789", 6)

    def person(self, phone: str, language: str = "en") -> Person:
        body = {"phone": phone, "first_name": "Ann", "language_code": language}
        met = self.http.post(f"{self.sandbox}/api/people", json=body).json()
        return Person(self, met["user_id"], f"sandbox_{BOT}_bot")


@dataclass
class Target:
    """A project on the attacked site, as its visitors and its own server reach it."""

    site: Site
    project: Project
    public: Headers
    secret: Headers

    def post(self, verb: str, body: dict[str, Any], address: str = "", **headers: str) -> httpx.Response:
        shown = {**self.public, "x-forwarded-for": address or new_address(), **headers}
        return self.site.http.post(f"{self.site.web}/session/{verb}", json=body, headers=shown)

    def create(self, to: str, type: str = "sms", address: str = "", **more: Any) -> dict[str, Any]:
        """A session, a challenge solved if one is asked for."""
        body = {"to": to, "type": type, **more}
        answer = self.post("create", body, address)
        if answer.status_code == 403:
            answer = self.post("create", body, address, **{"x-challenge-token": self.solution()})
        assert answer.status_code == 200, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def solution(self) -> str:
        """Of a challenge, as ALTCHA's own client finds it."""
        given = self.site.http.get(f"{self.site.web}/session/challenge", headers=self.public).json()
        asked = altcha.Challenge.from_dict(given)
        solution = altcha.solve_challenge(asked)
        assert solution is not None
        return altcha.Payload(asked, solution).to_base64()

    def check(self, session_id: str, code: str, address: str = "") -> httpx.Response:
        return self.post("check", {"session_id": session_id, "code": code}, address)

    def token(self, to: str = "") -> str:
        """A verify token of somebody who logged in."""
        session_id = self.create(to or new_phone(), send=False)["session_id"]
        answer = self.check(session_id, self.site.code_of(session_id))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["verify_token"])

    def verify(self, token: str) -> httpx.Response:
        body = {"verify_token": token}
        return self.site.http.post(f"{self.site.web}/session/verify", json=body, headers=self.secret)

    def is_active(self, session_id: str) -> bool:
        return bool(self.site.channel(session_id, keys=self.public)["is_active"])

    def wrong(self, session_id: str) -> str:
        return f"{(int(self.site.code_of(session_id)) + 1) % 1_000_000:06d}"

    def link(self, created: dict[str, Any]) -> str:
        """The payload of the session's deep link."""
        return payload(next(one for one in created["channels"] if one["type"] == "telegram"))


def numbers_of(session_id: str) -> Numbers:
    """One tap's."""
    return derive_numbers(Keyring([SECRET_KEY]).first.tap, session_id)


def together(count: int, act: Callable[[httpx.Client, int], T]) -> list[T]:
    """`count` acts, each on a connection of its own, all at the same moment."""
    barrier = threading.Barrier(count)

    def at_once(number: int) -> T:
        with httpx.Client(timeout=60, verify=_TLS) as client:
            barrier.wait()
            return act(client, number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(at_once, range(count)))
