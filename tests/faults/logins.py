"""Honest logins: people whose HTTP client tries again, as a browser's or a proxy's does, with no other cunning."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import WrongCode
from tests.faults.provider import Sender
from tests.servers import PUBLIC, SECRET

ANSWER_WITHIN = 5.0  # seconds; then a client asks again
AGAIN_AFTER = 0.1
CODE_WITHIN = 25.0  # seconds without a code; then a person begins anew
PATIENCE = 90.0  # seconds for all of it; then a person is gone
AT_ONCE = 2.0  # seconds: so much a login may take, on a busy machine, without having been held up
TWICE_OF = 10  # one in so many enters the right code twice at the same moment


class GoneAway(Exception):
    """The person has lost patience."""


@dataclass
class Answer:
    """What was answered in the end; `lost`: an earlier answer to the same request may be lost."""

    status: int
    body: dict[str, Any]
    lost: bool


@dataclass
class Login:
    """What became of one."""

    number: int
    began: float = 0.0
    ended: float = 0.0
    done: bool = False
    asked_again: int = 0
    anew: list[str] = field(default_factory=list)
    """Why the person had to begin anew, each time."""
    why: str = ""
    accepted: list[str] = field(default_factory=list)
    """Sessions whose code was accepted, as the person was told."""
    verified: str = ""
    tokens_refused: list[tuple[float, float]] = field(default_factory=list)
    """From when until when a code was entered, and its verify token refused, with no answer about it lost."""
    twice: int = 0
    """Right codes accepted once more than once."""

    @property
    def took(self) -> float:
        return self.ended - self.began

    @property
    def at_once(self) -> bool:
        return self.done and not self.anew and self.took < AT_ONCE


class Client:
    """One person's connection to web; each login has its own."""

    def __init__(self, port: int, until: float, login: Login) -> None:
        self._port = port
        self._until = until
        self._login = login
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, verb: str, fields: dict[str, Any], keys: dict[str, str] = PUBLIC) -> Answer:
        """The answer, asked for again while there is none, or 502 to 504. Raises `GoneAway`."""
        lost = False
        while True:
            wait = AGAIN_AFTER
            sent = False
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    if self._streams is None:
                        self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                    sent = True
                    status, headers, body = await self._exchange(verb, fields, keys)
                if status not in (502, 503, 504):
                    return Answer(status, json.loads(body), lost)
                wait = float(headers.get("retry-after", AGAIN_AFTER))
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                lost = lost or sent
                self.close()
            self._login.asked_again += 1
            if time.monotonic() + wait > self._until:
                raise GoneAway(verb)
            await asyncio.sleep(wait)

    async def _exchange(
        self, verb: str, fields: dict[str, Any], keys: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        assert self._streams
        reader, writer = self._streams
        body = json.dumps(fields).encode()
        [key] = keys.values()
        writer.write(
            f"POST /session/{verb} HTTP/1.1\r\nhost: faults\r\nx-api-key: {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def log_in(login: Login, port: int, sender: Sender, patience: float = PATIENCE) -> None:
    """One person's login, begun anew where it must be."""
    login.began = time.monotonic()
    until = login.began + patience
    client = Client(port, until, login)
    try:
        while not login.done:
            await _try(login, client, port, sender, until)
    except GoneAway as problem:
        login.why = f"no end of it: {problem}"
    except Exception as problem:
        login.why = f"{type(problem).__name__}: {problem}"
    finally:
        login.ended = time.monotonic()
        client.close()


async def _try(login: Login, client: Client, port: int, sender: Sender, until: float) -> None:
    """From the phone to the verified contact; where it comes to nothing, `anew` says why."""
    phone = f"+7952{login.number}"
    seen = sender.seen(phone)
    created = await client.ask("create", {"to": phone, "type": "sms"})
    if created.status != 200:
        await _anew(login, until, "create", created)
        return
    session_id = created.body["session_id"]
    began = time.monotonic()
    token = await _enter(login, client, port, sender, session_id, phone, seen, until)
    if not token:
        return
    verified = await client.ask("verify", {"verify_token": token}, SECRET)
    if verified.status == 200:
        assert verified.body["to"] == phone, verified.body
        login.done, login.verified = True, session_id
        return
    if not verified.lost:
        login.tokens_refused.append((began, time.monotonic()))
    await _anew(login, until, "verify", verified)


async def _enter(
    login: Login, client: Client, port: int, sender: Sender, session_id: str, phone: str, seen: int, until: float
) -> str:
    """Enter the newest code as it comes; the verify token, or "" where the session is over."""
    while True:
        try:
            codes = await sender.newer(phone, seen, min(CODE_WITHIN, until - time.monotonic()))
        except TimeoutError:
            login.anew.append("no code came")
            if time.monotonic() > until:
                raise GoneAway("no code came") from None
            return ""
        seen = len(codes)
        fields = {"session_id": session_id, "code": codes[-1]}
        if login.number % TWICE_OF == 0:
            other = Client(port, until, login)
            both = await asyncio.gather(client.ask("check", fields), other.ask("check", fields))
            other.close()
            accepted = [answer for answer in both if answer.status == 200]
            login.twice += max(0, len(accepted) - 1)
            answer = accepted[0] if accepted else max(both, key=lambda one: one.lost)
        else:
            answer = await client.ask("check", fields)
        if answer.status == 200:
            login.accepted.append(session_id)
            token: str = answer.body["verify_token"]
            return token
        if answer.body.get("sys_message") != WrongCode.sys_message:
            await _anew(login, until, "check", answer)
            return ""


async def _anew(login: Login, until: float, verb: str, answer: Answer) -> None:
    why = "the answer was lost" if answer.lost else answer.body.get("sys_message", answer.status)
    login.anew.append(f"{verb}: {why}")
    if time.monotonic() > until:
        raise GoneAway(why)
    await asyncio.sleep(AGAIN_AFTER * 5)
