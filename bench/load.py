"""The load: logins over keep-alive connections, from a process of its own whose time is not counted.

`python -m bench.load '<json>'` prints one JSON line. Every answer is checked; a wrong one ends it with code 1.
"""

import asyncio
import sys
import time
from typing import Any

import msgspec

from bench.processes import SECRET
from gateway.codes import DIGITS, derive_code
from gateway.keyring import Keyring

DELIVERED_WITHIN = 30.0
_KEY = Keyring([SECRET]).first.code


class Plan(msgspec.Struct):
    """What to do: `logins` over `connections`, phones counted up from `first`, codes sent to `sink`'s port.

    `rate` is how many begin in a second, evenly; 0: as many as there can be.
    """

    port: int
    connections: int
    logins: int
    first: int
    sink: int = 0
    path: str = ""
    rate: float = 0.0


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
        self._seen: set[str] = set()
        self.doubled = 0

    def expect(self, to: str) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self._waiting[to] = future
        return future

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                _, body = await _read(reader)
                to = msgspec.json.decode(body)["to"]
                self.doubled += to in self._seen
                self._seen.add(to)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                if not self._waiting[to].done():
                    self._waiting[to].set_result(None)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()


async def run(plan: Plan) -> Result:
    """Do it."""
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", plan.sink) if plan.sink else None
    result = Result(0, [], [], [], 0)
    numbers = iter(range(plan.first, plan.first + plan.logins))
    began = time.perf_counter()
    worker = _gets if plan.path else _logs_in
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


async def _logs_in(plan: Plan, numbers: Any, sink: Sink, result: Result) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
    opened_at = time.perf_counter()
    for number in numbers:
        if plan.rate:
            await asyncio.sleep(max(0.0, opened_at + (number - plan.first) / plan.rate - time.perf_counter()))
        to = f"+7952{number}"
        arrival = sink.expect(to) if plan.sink else None
        began = time.perf_counter()
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


async def _gets(plan: Plan, numbers: Any, _: Sink, result: Result) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
    for _number in numbers:
        began = time.perf_counter()
        writer.write(b"GET %s HTTP/1.1\r\nhost: bench\r\n\r\n" % plan.path.encode())
        head, _body = await _read(reader)
        result.create.append(time.perf_counter() - began)
        if b" 200 " not in head[:20]:
            raise SystemExit(head.decode())
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


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    return head, await reader.readexactly(length)


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(asyncio.run(run(msgspec.json.decode(sys.argv[1], type=Plan)))).decode())
