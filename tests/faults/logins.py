"""Honest logins: people whose HTTP client tries again, as a browser's or a proxy's does, with no other cunning."""

import asyncio
import json
import time
from collections.abc import Sequence
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
    """What was answered in the end; `lost` and `unsure` as in `Anew`."""

    status: int
    body: dict[str, Any]
    lost: bool
    unsure: list[tuple[float, float]]


@dataclass(frozen=True)
class Anew:
    """Why a person had to begin anew: what was asked last (`wait`: for a code) and `why` it came to nothing, of a
    session that was there from `since` until `until`; `lost`: an earlier answer to the same request was;
    `unsure`: when those were sent and answered that said 503."""

    verb: str
    why: str
    session_id: str
    since: float
    until: float
    lost: bool = False
    unsure: Sequence[tuple[float, float]] = ()

    def __str__(self) -> str:
        return f"{self.verb}: {self.why}{' (an answer was lost)' if self.lost else ''}"


@dataclass(frozen=True)
class Lost:
    """A request that was sent and not answered: when it was sent, and when and how that showed."""

    verb: str
    sent: float
    missed: float
    how: str

    def __str__(self) -> str:
        return f"{self.verb} was not answered within {self.missed - self.sent:.1f} s: {self.how}"


@dataclass
class Login:
    """What became of one. Times are monotonic."""

    number: int
    began: float = 0.0
    ended: float = 0.0
    done: bool = False
    asked_again: int = 0
    anew: list[Anew] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    why: str = ""
    created: list[float] = field(default_factory=list)
    """When a session was asked for, each time: a message is made then, or never."""
    accepted: dict[str, float] = field(default_factory=dict)
    """Sessions whose code was accepted, and when the person was told."""
    verified: str = ""
    twice: int = 0
    """Right codes accepted once more than once."""

    @property
    def phone(self) -> str:
        return f"+7952{self.number}"

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
        unsure: list[tuple[float, float]] = []
        while True:
            wait = AGAIN_AFTER
            sent = 0.0
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    if self._streams and self._streams[0].at_eof():
                        self.close()  # ended while nothing was asked: nobody reads what is written there
                    if self._streams is None:
                        self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                    sent = time.monotonic()
                    if verb == "create":
                        self._login.created.append(sent)
                    status, headers, body = await self._exchange(verb, fields, keys)
                if status not in (502, 503, 504):
                    return Answer(status, json.loads(body), lost, unsure)
                unsure.append((sent, time.monotonic()))
                wait = float(headers.get("retry-after", AGAIN_AFTER))
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as problem:
                if sent:
                    lost = True
                    self._login.lost.append(Lost(verb, sent, time.monotonic(), type(problem).__name__))
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
    phone = login.phone
    seen, since = sender.seen(phone), time.monotonic()
    created = await client.ask("create", {"to": phone, "type": "sms"})
    if created.status != 200:
        await _anew(login, until, "create", created, "", since)
        return
    session_id = created.body["session_id"]
    if login.anew and login.anew[-1].verb == "check" and login.anew[-1].session_id == session_id:
        seen -= 1  # the clock that ended it is right again: the code that came is still good
    token = await _enter(login, client, port, sender, session_id, since, phone, seen, until)
    if not token:
        return
    verified = await client.ask("verify", {"verify_token": token}, SECRET)
    if verified.status == 200:
        assert verified.body["to"] == phone, verified.body
        login.done, login.verified = True, session_id
        return
    await _anew(login, until, "verify", verified, session_id, since)


async def _enter(
    login: Login,
    client: Client,
    port: int,
    sender: Sender,
    session_id: str,
    since: float,
    phone: str,
    seen: int,
    until: float,
) -> str:
    """Enter the newest code as it comes; the verify token, or "" where the session is over."""
    while True:
        try:
            codes = await sender.newer(phone, seen, min(CODE_WITHIN, until - time.monotonic()))
        except TimeoutError:
            login.anew.append(Anew("wait", "no code came", session_id, since, time.monotonic()))
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
            answer = accepted[0] if accepted else max(both, key=lambda one: (one.lost, len(one.unsure)))
        else:
            answer = await client.ask("check", fields)
        if answer.status == 200:
            login.accepted[session_id] = time.monotonic()
            token: str = answer.body["verify_token"]
            return token
        if answer.body.get("sys_message") != WrongCode.sys_message:
            await _anew(login, until, "check", answer, session_id, since)
            return ""


async def _anew(login: Login, until: float, verb: str, answer: Answer, session_id: str, since: float) -> None:
    why = str(answer.body.get("sys_message", answer.status))
    login.anew.append(Anew(verb, why, session_id, since, time.monotonic(), answer.lost, answer.unsure))
    if time.monotonic() > until:
        raise GoneAway(why)
    await asyncio.sleep(AGAIN_AFTER * 5)
