"""Many bots on one server: each project's own, the server's for the others, and nothing between them."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import SANDBOX_BOT
from tests.servers import PUBLIC, Person, Servers, payload, until
from tests.world import new_phone

BOT_2, BOT_3, BOT_4 = (f"sandbox_{number}_bot" for number in (2, 3, 4))
REFUSED = f"0123456789:{'A' * 35}"  # of the right form, and of no bot
FOLLOWS = 20.0  # seconds: the bot process looks at the projects every 5, web every 5


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("bots")) as running:
        yield running


def kodgate(servers: Servers, *words: str, typed: str = "") -> str:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *words],
        cwd=servers.folder,
        env=servers.environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


@dataclass
class Site:
    """A project on the running server."""

    servers: Servers
    id: str
    keys: dict[str, str]

    def set_bot(self, token: str) -> None:
        kodgate(self.servers, "project", "set-bot", self.id, typed=f"{token}\n")

    def telegram(self) -> dict[str, Any] | None:
        """The project's Telegram, None while it has none."""
        answer = httpx.get(f"{self.servers.web}/session/channels", headers=self.keys)
        assert answer.status_code == 200, answer.text
        return next((channel for channel in answer.json() if channel["type"] == "telegram"), None)

    def has_bot(self, username: str) -> None:
        """Wait until the project's links name this bot."""

        def named() -> bool:
            telegram = self.telegram()
            return telegram is not None and telegram["link"].endswith(f"/{username}")

        until(named, f"{username} answers for project {self.id}", FOLLOWS)

    def create(self, phone: str) -> tuple[str, str]:
        """A session by Telegram: its id, and its deep link's payload."""
        created = self.servers.create(phone, "telegram", keys=self.keys)
        return created["session_id"], payload(created["channels"][0])

    def use_up(self, session_id: str) -> None:
        """Log in, so that the next `create` makes a new session."""
        body = {"session_id": session_id, "code": self.servers.code_of(session_id)}
        answer = httpx.post(f"{self.servers.web}/session/check", json=body, headers=self.keys)
        assert answer.status_code == 200, answer.text

    def is_active(self, session_id: str) -> bool:
        return bool(self.servers.channel(session_id, keys=self.keys)["is_active"])

    def becomes(self, session_id: str, active: bool) -> None:
        until(lambda: self.is_active(session_id) is active, f"is_active becomes {active}")


def new_site(servers: Servers, name: str) -> Site:
    shown = kodgate(servers, "project", "create", name, "--countries", "all").split()
    key = next(word for word in shown if word.startswith("pk_"))
    site = Site(servers, shown[1].rstrip(","), {"x-api-key": key})
    ask = f"{servers.web}/session/channels"
    until(lambda: httpx.get(ask, headers=site.keys).status_code == 200, f"web learns of project {site.id}")
    return site


@pytest.fixture(scope="module")
def first(servers: Servers) -> Site:
    return Site(servers, "1", PUBLIC)


@pytest.fixture(scope="module")
def second(servers: Servers) -> Site:
    """A project with a bot of its own, 2."""
    site = new_site(servers, "Second")
    site.set_bot("2:sandbox")
    site.has_bot(BOT_2)
    return site


def test_each_projects_code_comes_from_its_own_bot(servers: Servers, first: Site, second: Site) -> None:
    phone = new_phone()
    ours, _ = first.create(phone)
    theirs, link = second.create(phone)
    person = servers.person(phone)
    chat = Person(servers, person.user_id, BOT_2)
    chat.does("start", payload=link)
    assert "Second" in chat.hears("asks who is logging in")
    chat.does("contact")
    chat.hears(servers.code_of(theirs))
    second.becomes(theirs, active=True)
    assert not first.is_active(ours)
    assert person.heard() == []


def test_a_link_means_nothing_to_another_projects_bot(servers: Servers, first: Site, second: Site) -> None:
    phone = new_phone()
    person = servers.person(phone)
    for site, bot in ((first, BOT_2), (second, SANDBOX_BOT)):
        _, link = site.create(phone)
        chat = Person(servers, person.user_id, bot)
        chat.does("start", payload=link)
        chat.hears("This link has expired")


def test_who_blocks_one_bot_still_hears_the_other(servers: Servers, first: Site, second: Site) -> None:
    phone = new_phone()
    person = servers.person(phone)
    chats = {SANDBOX_BOT: first, BOT_2: second}
    for bot, site in chats.items():
        session_id, link = site.create(phone)
        chat = Person(servers, person.user_id, bot)
        chat.does("start", payload=link)
        chat.does("contact")
        chat.hears(servers.code_of(session_id))
        site.use_up(session_id)
    with servers.fault(method="getUpdates", drop=True, times=6):
        Person(servers, person.user_id, BOT_2).does("block")
        theirs, _ = second.create(phone)
        second.becomes(theirs, active=False)
    ours, _ = first.create(phone)
    assert first.is_active(ours)
    person.hears(servers.code_of(ours))


def test_projects_of_one_bot_are_connected_one_by_one_by_links_and_together_without(
    servers: Servers, first: Site
) -> None:
    sharing = new_site(servers, "Sharing")
    sharing.has_bot(SANDBOX_BOT)
    phone = new_phone()
    ours, link = first.create(phone)
    theirs, _ = sharing.create(phone)
    person = servers.person(phone)
    person.does("start", payload=link)
    person.does("contact")
    first.becomes(ours, active=True)
    person.hears("Here comes the code")
    assert not sharing.is_active(theirs)
    person.does("contact")
    sharing.becomes(theirs, active=True)


def test_a_new_bot_knows_its_projects_people_once_they_start_it(servers: Servers) -> None:
    site = new_site(servers, "Moving")
    site.has_bot(SANDBOX_BOT)
    phone = new_phone()
    session_id, link = site.create(phone)
    person = servers.person(phone)
    person.does("start", payload=link)
    person.does("contact")
    person.hears(servers.code_of(session_id))
    site.use_up(session_id)
    site.set_bot("3:sandbox")
    site.has_bot(BOT_3)
    session_id, link = site.create(phone)
    assert not site.is_active(session_id)
    chat = Person(servers, person.user_id, BOT_3)
    chat.does("start", payload=link)
    chat.hears(servers.code_of(session_id))
    assert site.is_active(session_id)


def test_a_bot_that_is_removed_gives_way_to_the_servers(servers: Servers) -> None:
    site = new_site(servers, "Changing its mind")
    site.set_bot("4:sandbox")
    site.has_bot(BOT_4)
    kodgate(servers, "project", "set-bot", site.id, "--remove")
    site.has_bot(SANDBOX_BOT)
    phone = new_phone()
    session_id, link = site.create(phone)
    person = servers.person(phone)
    person.does("start", payload=link)
    person.does("contact")
    person.hears(servers.code_of(session_id))
    chat = Person(servers, person.user_id, BOT_4)
    chat.does("start")
    person.does("text", text="/help")
    person.hears("I never ask for a code")
    assert chat.heard() == []


def test_a_refused_token_disturbs_nobody_else(servers: Servers, first: Site) -> None:
    site = new_site(servers, "Refused")
    site.set_bot(REFUSED)
    until(
        lambda: f"project {site.id} (Refused): Telegram does not know" in servers.log("bot"), "an error", FOLLOWS
    )
    assert REFUSED not in servers.log("bot")
    until(lambda: site.telegram() is None, "no link names a bot", FOLLOWS)
    assert servers.health("bot") == 200
    phone = new_phone()
    session_id, link = first.create(phone)
    person = servers.person(phone)
    person.does("start", payload=link)
    person.does("contact")
    person.hears(servers.code_of(session_id))
    site.set_bot("5:sandbox")
    site.has_bot("sandbox_5_bot")
    servers.stop("bot")
    servers.start("bot")
    assert "Traceback" not in servers.log("bot")


def test_a_projects_bot_needs_no_bot_of_the_servers(tmp_path: Path) -> None:
    alone = Servers(
        tmp_path,
        KODGATE_ENV="production",
        SECRET_KEYS="s" * 40,
        PROJECT_PUBLIC_KEY="pk_site",
        PROJECT_SECRET_KEY="sk_site_0123456789",
        PROJECT_COUNTRIES="all",
    )
    alone.environment["TELEGRAM_API_URL"] = alone.sandbox
    with alone:
        site = Site(alone, "1", {"x-api-key": "pk_site"})
        assert site.telegram() is None
        site.set_bot(f"2:{'A' * 35}")
        site.has_bot(BOT_2)
        phone = new_phone()
        session_id, link = site.create(phone)
        chat = Person(alone, alone.person(phone).user_id, BOT_2)
        chat.does("start", payload=link)
        chat.does("contact")
        chat.hears("Here comes the code")
        site.becomes(session_id, active=True)
        assert alone.health("bot") == 200
