"""A load generator: requests from a process of its own over keep-alive connections, pipelined, by epoll.

`python -m tests.attack.hose '<json>'` prints one JSON line. It is an open loop: what the server does not take at
its time is dropped, so that the rate is offered, whatever is answered.
"""

import random
import re
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from tests.attack import beside

MOST_WAITING = 65_536  # bytes a connection holds back before its requests are dropped
_STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d)")
_TICK = 0.005


class Plan(msgspec.Struct):
    """`kind`: `create`, with `phones` and `addresses` to draw from."""

    port: int
    key: str
    seconds: float
    rate: float
    connections: int
    phones: int
    addresses: int
    first_phone: int = 1_000_000
    send: bool = True


class Spray(msgspec.Struct):
    """How many requests were offered, handed to the network, and answered with which status."""

    offered: int
    taken: int
    answers: dict[str, int]
    seconds: float
    broken: int


@dataclass
class _Connection:
    socket: socket.socket
    waiting: bytearray = field(default_factory=bytearray)
    rest: bytes = b""


def creates(plan: Plan, dice: random.Random) -> Callable[[], bytes]:
    """Makes the bytes of one create, its phone and its address drawn."""
    more = b"" if plan.send else b',"send":false'
    draw = dice.random
    head = b"POST /session/create HTTP/1.1\r\nhost: a\r\nx-api-key: %s\r\n" % plan.key.encode()
    form = (
        head + b"content-type: application/json\r\nx-forwarded-for: 172.%d.%d.%d\r\n"
        b'content-length: %d\r\n\r\n{"to":"+7954%07d","type":"sms"%s}'
    )
    length = len(b'{"to":"+79540000000","type":"sms"%s}' % more)

    def one() -> bytes:
        phone = plan.first_phone + int(draw() * plan.phones)
        address = int(draw() * plan.addresses)
        return form % (16 + (address >> 16), address >> 8 & 255, address & 255, length, phone, more)

    return one


def run(plan: Plan) -> Spray:
    """Offer the load, for as long as it says."""
    dice = random.Random(1)
    make, answers = creates(plan, dice), Counter[str]()
    poll, all_of_them = select.epoll(), [_connect(plan.port) for _ in range(plan.connections)]
    by_number = {one.socket.fileno(): one for one in all_of_them}
    for number in by_number:
        poll.register(number, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    offered = taken = broken = turn = 0
    began = time.perf_counter()
    while (now := time.perf_counter() - began) < plan.seconds:
        due = int(now * plan.rate) - offered
        offered += due
        for _ in range(due):
            turn = (turn + 1) % len(all_of_them)
            chosen = all_of_them[turn]
            if len(chosen.waiting) < MOST_WAITING:
                chosen.waiting += make()
                taken += 1
        for one in all_of_them:
            if one.waiting:
                broken += not _write(one)
        for number, event in poll.poll(_TICK, 256):
            if event & select.EPOLLIN:
                _read(by_number[number], answers)
    for one in all_of_them:
        taken -= one.waiting.count(b"POST ")
        one.socket.close()
    return Spray(offered, taken, dict(answers), time.perf_counter() - began, broken)


def spray(plan: Plan) -> Callable[[], Spray]:
    """Begin; what is returned waits for the end."""
    return beside.begin("tests.attack.hose", plan, plan.seconds, Spray)


def _connect(port: int) -> _Connection:
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    made.setblocking(False)
    return _Connection(made)


def _write(one: _Connection) -> bool:
    try:
        del one.waiting[: one.socket.send(one.waiting)]
    except BlockingIOError:
        pass
    except OSError:
        one.waiting.clear()
        return False
    return True


def _read(one: _Connection, answers: Counter[str]) -> None:
    while True:
        try:
            more = one.socket.recv(262_144)
        except OSError:
            return
        if not more:
            return
        seen = one.rest + more
        last = 0
        for found in _STATUS.finditer(seen):
            answers[found[1].decode()] += 1
            last = found.end()
        one.rest = seen[max(last, len(seen) - 16) :]


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(run(msgspec.json.decode(sys.argv[1], type=Plan))).decode())
