"""The load: logins over keep-alive connections, from a process of its own whose time is not counted.

`python -m bench.load '<json>'` prints one JSON line. Every answer is checked; a wrong one ends it with code 1.
"""

import asyncio
import subprocess
import sys
import time
from typing import Any

import msgspec

from bench.processes import SECRET
from gateway.codes import DIGITS, derive_code
from gateway.keyring import Keyring

DELIVERED_WITHIN = 30.0
WITHIN = 300.0
SCATTER = 6_700_417  # a prime: who logs in next is no neighbour of who did last
_KEY = Keyring([SECRET]).first.code


class Plan(msgspec.Struct):
    """What to do: `logins` over `connections`, phones counted up from `first`, codes sent to `sink`'s port.

    `rate` is how many begin in a second, evenly; 0: as many as there can be. Every other login is by one of
    `known` people (see `known_phone`), where there are any. `create_only`: nobody enters a code.
    """

    port: int
    connections: int
    logins: int
    first: int
    sink: int = 0
    rate: float = 0.0
    known: int = 0
    create_only: bool = False


class Result(msgspec.Struct):
    """What came of it: seconds in all, and of each request in order of length."""

    seconds: float
    create: list[float]
    check: list[float]
    delivered: list[float]
    doubled: int


class Sink:
    """The operator's sender: takes each message, answers 200, and tells who waits for it."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._seen: set[int] = set()
        self.arrived_at: dict[str, float] = {}
        self.doubled = 0

    def expect(self, to: str) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self._waiting[to] = future
        return future

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                _, body = await _read(reader)
                message = msgspec.json.decode(body)
                self.arrived_at[message["to"]] = time.perf_counter()
                self.doubled += message["message_id"] in self._seen
                self._seen.add(message["message_id"])
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                waiting = self._waiting[message["to"]]
                if not waiting.done():
                    waiting.set_result(None)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()


def load(plan: Plan) -> Result:
    """Do it, in a process of its own. Raises `SystemExit` where anything went wrong."""
    ended = subprocess.run(
        [sys.executable, "-m", "bench.load", msgspec.json.encode(plan).decode()],
        stdout=subprocess.PIPE,
        timeout=WITHIN,
        check=False,
    )
    if ended.returncode:
        raise SystemExit("the load failed, see above")
    result = msgspec.json.decode(ended.stdout, type=Result)
    if result.doubled or (plan.sink and len(result.delivered) != plan.logins):
        raise SystemExit(f"{result.doubled} messages doubled, {len(result.delivered)} delivered of {plan.logins}")
    return result


async def run(plan: Plan) -> Result:
    """Do it here."""
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", plan.sink) if plan.sink else None
    result = Result(0, [], [], [], 0)
    numbers = iter(range(plan.first, plan.first + plan.logins))
    began = time.perf_counter()
    worker = _posts if plan.create_only else _logs_in
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.connections):
            group.create_task(worker(plan, numbers, sink, result))
    result.seconds = time.perf_counter() - began
    result.doubled = sink.doubled
    for times in (result.create, result.check, result.delivered):
        times.sort()
    if server:
        server.close()
    return result


def known_phone(number: int) -> str:
    """Of the people that a database is filled with (bench.growth)."""
    return f"+7951{number:07d}"


def _phone(plan: Plan, number: int) -> str:
    if plan.known and number % 2:
        return known_phone(number // 2 * SCATTER % plan.known)
    return f"+7952{number}"


async def _logs_in(plan: Plan, numbers: Any, sink: Sink, result: Result) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
    opened_at = time.perf_counter()
    for number in numbers:
        began = await _turn(plan, number, opened_at)
        to = _phone(plan, number)
        arrival = sink.expect(to) if plan.sink else None
        created = await post(reader, writer, "create", {"to": to, "type": "sms", "send": bool(plan.sink)})
        result.create.append(time.perf_counter() - began)
        if arrival:
            await asyncio.wait_for(arrival, DELIVERED_WITHIN)
            result.delivered.append(time.perf_counter() - began)
        session_id = created["session_id"]
        code = derive_code(_KEY, session_id, DIGITS, 6)
        began = time.perf_counter()
        checked = await post(reader, writer, "check", {"session_id": session_id, "code": code})
        result.check.append(time.perf_counter() - began)
        if not checked["verify_token"]:
            raise SystemExit("no verify_token")
    writer.close()


async def _turn(plan: Plan, number: int, opened_at: float) -> float:
    """When this login begins. With a rate that is when it was due, however busy its connection was until then;
    how late our own timer wakes up is not the server's."""
    now = time.perf_counter()
    due = opened_at + (number - plan.first) / plan.rate if plan.rate else now
    if due <= now:
        return due
    await asyncio.sleep(due - now)
    return time.perf_counter()


async def _posts(plan: Plan, numbers: Any, _: Sink, result: Result) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
    for number in numbers:
        began = time.perf_counter()
        await post(reader, writer, "create", {"to": _phone(plan, number), "type": "sms", "send": False})
        result.create.append(time.perf_counter() - began)
    writer.close()


async def post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verb: str, fields: dict[str, Any]
) -> dict[str, Any]:
    """A verb's answer. Raises `SystemExit` where it is refused."""
    body = msgspec.json.encode(fields)
    writer.write(
        b"POST /session/%s HTTP/1.1\r\nhost: bench\r\nx-api-key: pk_bench\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (verb.encode(), len(body), body)
    )
    head, answer = await _read(reader)
    if b" 200 " not in head[:20]:
        raise SystemExit(f"{verb}: {head.decode()}{answer.decode()}")
    decoded: dict[str, Any] = msgspec.json.decode(answer)
    return decoded


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verb: str) -> Any:
    """As `post`."""
    writer.write(b"GET /session/%s HTTP/1.1\r\nhost: bench\r\nx-api-key: pk_bench\r\n\r\n" % verb.encode())
    head, answer = await _read(reader)
    if b" 200 " not in head[:20]:
        raise SystemExit(f"{verb}: {head.decode()}{answer.decode()}")
    return msgspec.json.decode(answer)


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    return head, await reader.readexactly(length)


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(asyncio.run(run(msgspec.json.decode(sys.argv[1], type=Plan)))).decode())
