"""Kodgate's processes as an operator runs them, on free ports and a database of their own."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx

from bench.limits import NO_LIMITS_HERE
from bench.processes import free_ports
from gateway.clock import system_clock
from gateway.codes import DIGITS, derive_code
from gateway.keyring import Keyring
from gateway.settings import DEVELOPMENT_SECRET, SANDBOX_BOT
from gateway.tokens import LiveClaim, live_tokens
from tests.leaks import leaks
from tests.nursery import Process, start

ROOT = Path(__file__).resolve().parent.parent
START_WITHIN = 60.0
STOP_WITHIN = 6.0
NAMES = ("web", "bot", "sandbox")
PORTS = {"web": "PORT", "bot": "LIVE_PORT", "bot.worker": "WORKER_PORT"}
PUBLIC = {"x-api-key": "pk_development"}
SECRET = {"x-api-key": "sk_development"}

Headers = dict[str, str]
T = TypeVar("T")


def until(ask: Callable[[], T | None], what: str, within: float = 15.0) -> T:
    """Ask again and again until there is an answer that is not None or False."""
    end = time.monotonic() + within
    while not (answer := ask()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {within:.0f} s")
        time.sleep(0.01)
    return answer


async def becomes(true: Callable[[], bool], within: float = 15.0) -> None:
    """Let the loop go on until it is. Raises `TimeoutError`."""
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.01)


class Servers:
    """The processes, all three or those of `names`; a context manager that starts them and ends them by id."""

    def __init__(self, folder: Path, names: tuple[str, ...] = NAMES, /, **environment: str) -> None:
        port, live_port, sandbox_port = free_ports(3)
        self.folder = folder
        self.names = names
        self.web = f"http://127.0.0.1:{port}"
        self.live = f"http://127.0.0.1:{live_port}"
        self.sandbox = f"http://127.0.0.1:{sandbox_port}"
        self.database_url = environment.get("DATABASE_URL", f"sqlite:///{folder}/kodgate.sqlite3")
        self.http = httpx.Client(timeout=30)
        self.codes: set[str] = set()  # that must not be in a log
        self._urls = dict(zip(NAMES, (self.web, self.live, self.sandbox), strict=True))
        self._processes: dict[str, Process] = {}
        self._orphaned: list[int] = []
        self._beside: dict[str, tuple[str, Headers]] = {}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "PORT": str(port),
            "LIVE_PORT": str(live_port),
            "SANDBOX_PORT": str(sandbox_port),
            "PUBLIC_URL": self.web,
            "DATABASE_URL": self.database_url,
            "SANDBOX_STATE": str(folder / "sandbox.json"),
            "SUSPICION_SESSIONS": "1000000",  # tests begin far more sessions than they complete
            **NO_LIMITS_HERE,
            **environment,
        }

    def __enter__(self) -> "Servers":
        try:
            for name in self.names:
                self.start(name, wait=False)
            for name in self.names:
                self.wait(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, kind: object = None, *_: object) -> None:
        self._learn_codes()
        self.http.close()
        with ExitStack() as stack:  # one that does not end in time keeps nobody from ending the others
            for name in reversed(self._processes):
                stack.callback(self.stop, name)
        for group in self._orphaned:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if kind is None:
            self.wrote_nothing_secret()

    def _learn_codes(self) -> None:
        """All that arrived in the inbox."""
        try:
            letters = httpx.get(f"{self.sandbox}/inbox.json", timeout=5).json()
        except httpx.HTTPError:
            return  # it is not one of the processes, or has ended before
        self.codes |= {str(letter["code"]) for letter in letters}

    def wrote_nothing_secret(self) -> None:
        """The logs of web and bot, from their first line to here."""
        for name in {"web", "bot"} & set(self.names):
            found = list(leaks(self.log(name), self.codes))
            assert not found, f"{name} wrote\n" + "\n".join(found[:20])

    def beside(self, name: str, module: str, **environment: str) -> str:
        """Another process of a kind, with a port of its own: its address. `start` starts it."""
        [port] = free_ports(1)
        self._beside[name] = (module, {PORTS[module]: str(port), **environment})
        self._urls[name] = f"http://127.0.0.1:{port}"
        return self._urls[name]

    def upgrade(self, name: str) -> None:
        """From its next start on, a process beside has the code under test."""
        self._beside[name][1]["PYTHONPATH"] = str(ROOT)

    def start(self, name: str, *, wait: bool = True) -> None:
        module, environment = self._beside.get(name, (name, {}))
        log = self.folder / f"{name}.log"
        # in the folder, away from a developer's .env
        self._processes[name] = start(module, self.folder, {**self.environment, **environment}, log)
        if wait:
            self.wait(name)

    def wait(self, name: str) -> None:
        """Until its /healthz says that it can really serve."""

        def well() -> bool:
            if self._processes[name].poll() is not None:
                raise AssertionError(f"{name} ended at its start:\n{self.log(name)}")
            return self.health(name) == 200

        until(well, f"{name} starts", START_WITHIN)

    def health(self, name: str) -> int:
        try:
            return httpx.get(f"{self._urls[name]}/healthz", timeout=2).status_code
        except httpx.HTTPError:
            return 0

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def kill(self, name: str, *, alone: bool = False) -> None:
        """SIGKILL, to the process and, unless `alone`, its workers: what a power cut or the OOM killer does."""
        process = self._processes.pop(name)
        if alone:
            self._orphaned.append(process.pid)
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> float:
        """SIGTERM; how many seconds it took to end."""
        process = self._processes.pop(name)
        began = time.monotonic()
        process.terminate()
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"{name} did not end within {STOP_WITHIN} s of SIGTERM") from None
        return time.monotonic() - began

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    # The API

    def create(self, to: str, type: str = "sms", *, keys: Headers = PUBLIC, **more: Any) -> dict[str, Any]:
        answer = self.http.post(f"{self.web}/session/create", json={"to": to, "type": type, **more}, headers=keys)
        assert answer.status_code == 200, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def channel(self, session_id: str, type: str = "telegram", *, keys: Headers = PUBLIC) -> dict[str, Any]:
        answer = self.http.get(f"{self.web}/session/channels", params={"session_id": session_id}, headers=keys)
        assert answer.status_code == 200, answer.text
        return next(channel for channel in answer.json() if channel["type"] == type)

    def check(self, session_id: str, code: str) -> httpx.Response:
        body = {"session_id": session_id, "code": code}
        return self.http.post(f"{self.web}/session/check", json=body, headers=PUBLIC)

    def code_of(self, session_id: str) -> str:
        code = derive_code(Keyring([DEVELOPMENT_SECRET]).first.code, session_id, DIGITS, 6)
        self.codes.add(code)
        return code

    def live_url(self, session_id: str) -> str:
        tokens = live_tokens(Keyring([DEVELOPMENT_SECRET]), system_clock)
        return f"{self.live}/live/{tokens.sign(LiveClaim(1, session_id, 'en'))}"

    # The sandbox

    def letters(self, to: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get(f"{self.sandbox}/inbox.json", params={"to": to}).json()
        return found

    def person(self, phone: str, language: str = "en") -> "Person":
        body = {"phone": phone, "first_name": "Ann", "language_code": language}
        return Person(self, self.http.post(f"{self.sandbox}/api/people", json=body).json()["user_id"])

    @contextmanager
    def fault(self, **fault: Any) -> Iterator[None]:
        """Something goes wrong in the sandbox's answers (see sandbox/faults.py) until the block ends."""
        self.http.post(f"{self.sandbox}/api/faults", json=fault).raise_for_status()
        try:
            yield
        finally:
            self.http.delete(f"{self.sandbox}/api/faults").raise_for_status()


class Person:
    """Somebody with a phone and Telegram, in the chat with one bot."""

    def __init__(self, servers: Servers, user_id: int, bot: str = SANDBOX_BOT) -> None:
        self.user_id = user_id
        self._http = servers.http
        self._chat = f"{servers.sandbox}/api/chats/{bot}/{user_id}"

    def does(self, what: str, **details: Any) -> None:
        """`start`, `text`, `contact`, `block`, `unblock`."""
        self._http.post(f"{self._chat}/{what}", json=details).raise_for_status()

    def heard(self) -> list[str]:
        """What the bot has said, oldest first, as it reads now."""
        return [message.get("text", "") for message in self.messages()]

    def messages(self) -> list[dict[str, Any]]:
        """The bot's messages, oldest first."""
        messages = self._http.get(self._chat).json()["messages"]
        return [message for message in messages if message["from"]["is_bot"]]

    def buttons(self) -> list[str]:
        """What stands on the buttons below the bot's newest message."""
        markup = self.messages()[-1].get("reply_markup", {})
        return [button["text"] for row in markup.get("inline_keyboard", []) for button in row]

    def presses(self, words: str) -> str:
        """Press that button; the id of the callback query."""
        message = self.messages()[-1]
        rows = message["reply_markup"]["inline_keyboard"]
        [data] = [button["callback_data"] for row in rows for button in row if button["text"] == words]
        answer = self._http.post(
            f"{self._chat}/callback", json={"message_id": message["message_id"], "data": data}
        )
        answer.raise_for_status()
        return str(answer.json()["callback_query_id"])

    def hears(self, part: str, times: int = 1) -> str:
        """Wait for the bot to say something that holds `part`, for the n-th time."""

        def said() -> list[str]:
            found = [text for text in self.heard() if part in text]
            return found if len(found) >= times else []

        return until(said, f"the bot says {part!r}")[-1]


def hosted_by(upstream: Servers, folder: Path, **environment: str) -> Servers:
    """web and bot of a site whose kod.mobi account is another Kodgate, with whose people and letters it lives."""
    site = Servers(
        folder,
        ("web", "bot"),
        KODMOBI_URL=upstream.web,
        KODMOBI_PUBLIC_KEY="pk_development",
        KODMOBI_SECRET_KEY="sk_development",
        **environment,
    )
    site.sandbox = upstream.sandbox
    return site


def payload(channel: dict[str, Any]) -> str:
    """The `start` parameter of a channel's deep link."""
    return str(channel["link"]).partition("?start=")[2]
