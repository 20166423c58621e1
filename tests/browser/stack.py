"""Kodgate as `make run` starts it: three real processes, on free ports, with a database of their own."""

import base64
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from bench.limits import NO_LIMITS_HERE
from bench.processes import free_ports
from gateway.keyring import Keyring, hash_api_key
from gateway.projects import ProjectSettings
from gateway.settings import DEVELOPMENT_SECRET, SANDBOX_BOT
from gateway.store import open_store
from tests.nursery import Process, start
from tests.servers import until

ROOT = Path(__file__).resolve().parent.parent.parent
START_WITHIN = 60.0  # seconds: three processes on one busy core
STOP_WITHIN = 10.0
BOT_ID = 1


def is_well(url: str) -> bool:
    """Whether this process's /healthz says that it can really serve."""
    try:
        return httpx.get(f"{url}/healthz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


class Stack:
    """The three processes, and what tests need of them over HTTP."""

    def __init__(self, folder: Path, **settings: str) -> None:
        port, live_port, sandbox_port = free_ports(3)
        self.web = f"http://localhost:{port}"
        self.live = f"http://localhost:{live_port}"
        self.sandbox = f"http://127.0.0.1:{sandbox_port}"
        self.runs: tuple[str, ...] = ("web", "sandbox", "bot")
        self._folder = folder
        self.database_url = f"sqlite:///{folder}/kodgate.sqlite3"
        self._processes: dict[str, Process] = {}
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "VIRTUAL_ENV") if name in os.environ},
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "LIVE_PORT": str(live_port),
            "SANDBOX_PORT": str(sandbox_port),
            "PUBLIC_URL": self.web,
            "LIVE_URL": self.live,
            "DATABASE_URL": self.database_url,
            "SANDBOX_STATE": str(folder / "sandbox.json"),
            "KODGATE_ENV": "development",
            "SUSPICION_SESSIONS": "1000000",  # tests begin far more sessions than they complete
            **NO_LIMITS_HERE,
            **settings,
        }

    def start(self) -> None:
        """Start them all and wait until each can serve."""
        for name in self.runs:
            self.begin(name)
        urls = {"web": self.web, "sandbox": self.sandbox, "bot": self.live}
        for name, url in ((name, urls[name]) for name in self.runs):
            until(lambda name=name, url=url: self._started(name, url), f"{name} starts", START_WITHIN)  # type: ignore[misc]

    def begin(self, name: str) -> None:
        """Start one of them."""
        log = self._folder / f"{name}.log"
        self._processes[name] = start(name, self._folder, self._environment, log)  # away from a developer's .env

    def end(self, name: str) -> None:
        """End one of them."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_WITHIN)

    def stop(self) -> None:
        """End them, and only them, as a supervisor would."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self, name: str) -> str:
        """What a process has said so far."""
        return (self._folder / f"{name}.log").read_text("utf-8", "replace")

    def _started(self, name: str, url: str) -> bool | None:
        if self._processes[name].poll() is not None:
            raise AssertionError(f"{name} ended at its start:\n{self.log(name)}")
        return is_well(url) or None

    # The store

    def add_project(self, public_key: str, **settings: Any) -> None:
        """Another project with the sandbox's bot; a running web finds it at the first sight of its key."""
        store = open_store(self.database_url)
        chosen = ProjectSettings(**settings, bot_id=BOT_ID, bot_username=SANDBOX_BOT)
        made = store.add_project(chosen, int(time.time() * 1000))
        secret_key = public_key.replace("pk_", "sk_")
        store.set_keys(made.id, hash_api_key(public_key), hash_api_key(secret_key), b"", 0)
        store.close()

    def add_guarded_project(self, public_key: str, provider: str, secret: str, challenge: str = "always") -> None:
        """Another project whose challenge is somebody else's, and always on if nothing else is said."""
        sealed = base64.b64encode(Keyring([DEVELOPMENT_SECRET]).seal(secret, "challenge secret")).decode()
        self.add_project(
            public_key,
            name=provider,
            challenge=challenge,
            challenge_provider=provider,
            challenge_site_key="site-key",
            challenge_secret=sealed,
        )

    # The sandbox

    @property
    def chat_url(self) -> str:
        return f"{self.sandbox}/{SANDBOX_BOT}"

    def letters(self, to: str, channel: str) -> list[dict[str, str]]:
        """What the inbox holds for a contact, newest first."""
        found: list[dict[str, str]] = httpx.get(
            f"{self.sandbox}/inbox.json", params={"to": to, "channel": channel}
        ).json()
        return found

    def code(self, to: str, channel: str = "sms", at_least: int = 1) -> str:
        """The code in the newest letter, once `at_least` so many have come."""

        def newest() -> str | None:
            letters = self.letters(to, channel)
            return letters[0]["code"] if len(letters) >= at_least else None

        return until(newest, f"a code for {to} by {channel}")

    def order_fault(self, **fault: str | int) -> None:
        """What the next call of a method, or the next letter, meets."""
        httpx.post(f"{self.sandbox}/api/faults", json=fault).raise_for_status()

    def empty_inbox(self) -> None:
        httpx.delete(f"{self.sandbox}/inbox.json").raise_for_status()

    def person(self, phone: str, language: str = "en") -> "Person":
        """The Telegram user with this phone, driven without a page."""
        body = {"phone": phone, "language_code": language}
        answer = httpx.post(f"{self.sandbox}/api/people", json=body).raise_for_status().json()
        return Person(f"{self.sandbox}/api/chats/{SANDBOX_BOT}/{answer['user_id']}")

    def connect(self, phone: str) -> None:
        """Make this phone's owner a user of the bot already."""
        person = self.person(phone)
        person.does("start")
        person.is_asked_for_contact()
        person.does("contact")
        person.reads("Thank you")


class Person:
    """What a person does in the chat, by the sandbox's control API."""

    def __init__(self, chat: str) -> None:
        self._chat = chat

    def does(self, action: str, **body: str | int) -> None:
        httpx.post(f"{self._chat}/{action}", json=body).raise_for_status()

    def shares_contact(self) -> float:
        """Share the contact; when the sandbox was asked to, in ms since the epoch."""
        with httpx.Client() as client:
            began = time.time() * 1000
            client.post(f"{self._chat}/contact", json={}).raise_for_status()
        return began

    def is_asked_for_contact(self) -> None:
        until(lambda: self._view()["keyboard"], "the bot asks for the contact")

    def taps(self, words: str) -> None:
        """A button below a message, once there is one with these words."""
        key = until(lambda: self._key(words), f"a button {words!r}")
        self.does("callback", **key)

    def _key(self, words: str) -> dict[str, str | int] | None:
        for message in reversed(self._view()["messages"]):
            for key in (one for row in message.get("reply_markup", {}).get("inline_keyboard", []) for one in row):
                if key["text"] == words and "callback_data" in key:
                    return {"message_id": message["message_id"], "data": key["callback_data"]}
        return None

    def reads(self, words: str) -> str:
        """The newest message of the bot's with these words in it."""

        def newest() -> str | None:
            texts = [message.get("text", "") for message in self._view()["messages"] if message["from"]["is_bot"]]
            return next((text for text in reversed(texts) if words in text), None)

        return until(newest, f"the bot writes {words!r}")

    def _view(self) -> dict[str, Any]:
        view: dict[str, Any] = httpx.get(self._chat).raise_for_status().json()
        return view
